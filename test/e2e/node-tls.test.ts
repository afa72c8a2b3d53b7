/** A registry with a certificate of a CA of one's own: nodes and commands trust it where they are told to, and say what is wrong where not. */
import { copyFileSync, readFileSync } from "node:fs";
import { expect } from "vitest";
import { type Certificate, GridLab } from "../../src/cli/demo/grid-lab.ts";
import { addressOf, type GridNode, workloadName } from "../../src/cli/demo/grid-node.ts";
import { publicPlaces, registryAddresses } from "../../src/cli/demo/grid-sites.ts";
import { until } from "../../src/control/linux/command.ts";
import {
  type NetworkExplanation,
  RegistryClient,
  type RegistryFault,
} from "../../src/control/registry/client.ts";
import { Ca } from "./harness/certificate.ts";
import { Grid } from "./harness/grid.ts";
import { populate } from "./harness/grid-workloads.ts";
import { labTest } from "./harness/lab-test.ts";

labTest(
  "by the right CA all of it works; by another, or none, nobody speaks to the registry, and it is said why",
  async (lab) => {
    const [ours, others] = [await Ca.make(lab, "ours"), await Ca.make(lab, "others")];
    const [v4, v6] = registryAddresses();
    const tls = await ours.sign(`IP:${v4}`);
    const grid = await GridLab.make(lab, { places: publicPlaces("a", "b"), tls });
    await grid.startNodes();
    const [a, b] = grid.nodes as [GridNode, GridNode];
    const url = `https://${v4}:8480`;
    expect((await a.grid()).registry).toBe(url);
    const network = await grid.create(grid.admin, "shop", "10.20.0.0/16");
    await populate([a, b], network);
    await a.untilReaches(addressOf(network, b.id), workloadName(network));
    // By the stream of changes, too.
    await grid.ask(grid.admin, "network", "remove-node", network.id, b.id);
    await until("b has it no longer", async () => (await b.networks()).length === 0);
    await grid.ask(grid.admin, "network", "add-node", network.id, b.id);
    await b.untilNetwork(network.id);
    const said = await grid.ask<NetworkExplanation[]>(grid.admin, "explain", a.id, b.id);
    expect(said).toMatchObject([{ path: [a.id, b.id] }]);

    // Another CA: the node says so and does not speak; its networks stay. The right one, and it is back.
    const why = async (): Promise<string> => (await b.grid()).why;
    await b.end("SIGTERM");
    b.ca = others.ca;
    await b.start();
    await until("b does not trust it", async () => (await why()).includes("--registry-ca"));
    expect(await why()).toMatch(/^the certificate of the registry at https:.* is signed by nobody/);
    expect((await b.grid()).state).toBe("unregistered");
    await b.untilNetwork(network.id);
    await b.end("SIGTERM");
    b.ca = ours.ca;
    await b.start();
    await b.untilReady();

    // Commands.
    const { keyFile } = grid.admin;
    const ask = (...flags: readonly string[]): Promise<string> =>
      a.wirehaul(["network", "list", "--registry", ...flags, "--key", keyFile]);
    await expect(ask(url)).rejects.toThrow(
      /is signed by nobody that is trusted here .*--registry-ca/,
    );
    await expect(ask(url, "--registry-ca", others.ca)).rejects.toThrow("is signed by nobody");
    await expect(ask(url, "--registry-ca", "/nowhere.pem")).rejects.toThrow(
      "--registry-ca: /nowhere.pem can't be read (ENOENT)",
    );
    await expect(ask(url, "--registry-ca", keyFile)).rejects.toThrow("holds no certificate in PEM");
    await expect(ask(`https://[${v6}]:8481`, "--registry-ca", ours.ca)).rejects.toThrow(
      "does not answer: connect ECONNREFUSED",
    );
    await expect(ask(`http://${v4}:8480`)).rejects.toThrow("does not answer");
    expect(await ask(url, "--registry-ca", ours.ca)).toContain(network.id);
    a.environment = { WIREHAUL_REGISTRY_CA: ours.ca };
    expect(await ask(url)).toContain(network.id);
    a.environment = {};
  },
  300_000,
);

labTest(
  "a certificate for another name, or one that is over, is refused and said; a new one is read without a restart, one that can't be used is not",
  async (lab) => {
    const [ours, others] = [await Ca.make(lab, "ours"), await Ca.make(lab, "others")];
    const name = "IP:127.0.0.1";
    const wrong = await ours.sign("DNS:elsewhere.example");
    const over = await ours.sign(name, "-10d");
    const early = await ours.sign(name, "+10d");
    const good = await ours.sign(name);
    const path = (what: string): string => `${lab.folder}/served-${what}.pem`;
    const use = ({ certificate, key }: Certificate): void => {
      copyFileSync(certificate, path("cert"));
      copyFileSync(key, path("key"));
    };
    use(wrong);
    const grid = new Grid(lab, { data: `${lab.folder}/registry` });
    const flags = ["--tls-cert", path("cert"), "--tls-key", path("key")];
    const { url, process: registry } = await grid.start(0, ...flags);
    const client = (ca: string): RegistryClient =>
      new RegistryClient({ url, identity: grid.admin, ca: readFileSync(ca, "utf8") });
    const said = async (ca = ours.ca): Promise<string> =>
      await client(ca)
        .me()
        .then(
          () => "answered",
          ({ code, message }: RegistryFault) => `${code}: ${message}`,
        );
    const renew = async (certificate: Certificate, what: RegExp): Promise<void> => {
      use(certificate);
      registry.signal("SIGHUP");
      await until(`it is said: ${what}`, async () => what.test(await said()));
    };
    expect(await said()).toMatch(
      /^untrusted: the certificate of the registry at https:.* is another's \(.*127\.0\.0\.1.*\): call it by a name that is in/,
    );
    await renew(
      over,
      /^untrusted: .* is not good at this time \(certificate has expired\): renew it, or set the clock of this machine, which says 20/,
    );
    await renew(early, /^untrusted: .* is not good at this time \(certificate is not yet valid\)/);
    await renew(good, /^answered$/);
    expect(await said(others.ca)).toMatch(
      /^untrusted: .* is signed by nobody that is trusted here/,
    );
    // Those who listen are told, too.
    const controller = new AbortController();
    const told: string[] = [];
    const events = client(others.ca).events(controller.signal, 0, ({ code }) => {
      told.push(code);
      controller.abort();
    });
    await events.next();
    expect(told).toEqual(["untrusted"]);
    // Another's key: it stays as it was.
    copyFileSync(wrong.key, path("key"));
    registry.signal("SIGHUP");
    await registry.waitFor("the certificate stays as it was");
    expect(await said()).toBe("answered");
  },
  120_000,
);
