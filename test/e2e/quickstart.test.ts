/**
 * docs/quickstart.md as a new user goes through it: the packed package in a prefix of its own, machines that have nothing but that, and each
 * block of the document as it stands. What is not typed as it stands is here: names of files that a person carries from one machine to
 * another, and, since these machines' NICs are veth, that they are.
 */
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { expect } from "vitest";
import { makeSites, publicPlaces, registryAddresses } from "../../src/cli/demo/grid-sites.ts";
import { ROOT } from "../../src/cli/demo/implementations.ts";
import type { Lab } from "../../src/cli/demo/lab.ts";
import { LabMachine } from "../../src/cli/demo/lab-machine.ts";
import { run, until } from "../../src/control/linux/command.ts";
import { blocksIn } from "./harness/document.ts";
import { labTest } from "./harness/lab-test.ts";
import { Shell } from "./harness/shell.ts";
import { USER_ID } from "./harness/unprivileged.ts";

const DOCUMENT = join(ROOT, "docs", "quickstart.md");
const TIMEOUT_MS = 300_000;
/** Reachability is measured for some seconds, a client's first packet waits for a handshake. */
const WAIT_MS = 90_000;
const COW = { label: "cow", title: "behind NAT 1", net: 3, host: 2, hasV4: true };
/** Not root; may read every file, so that the checkout may be root's alone. */
const AS_USER = [
  ...["setpriv", `--reuid=${USER_ID}`, "--clear-groups", "--bounding-set=-all,+dac_read_search"],
  ...["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"],
];

/** The document's blocks of a section, all of which are to be used: the count is as the test knows it. */
function section(title: string, count: number): string[] {
  const blocks = blocksIn(DOCUMENT).get(title) ?? [];
  expect(blocks, title).toHaveLength(count);
  return blocks;
}

/**
 * What `npm install --global` does with the packed file, without asking the packages' registry: its files, its programs, and beside it
 * what it says that it depends on, which is in the checkout.
 */
async function install(lab: Lab): Promise<string> {
  const [pack = "", installed = ""] = section("Install", 2);
  expect(pack).toMatch(/^npm pack$/);
  const [, file = ""] = /^npm install --global \.\/(\S+)$/.exec(installed) ?? [];
  const command = `cd ${ROOT} && ${pack} --pack-destination ${lab.folder}`;
  await run(["sh", "-c", command], { limitMs: WAIT_MS });
  const prefix = join(lab.folder, "prefix");
  const modules = join(prefix, "lib", "node_modules");
  const root = join(modules, "wirehaul");
  for (const folder of [root, join(prefix, "bin")]) mkdirSync(folder, { recursive: true });
  await run(["tar", "-xzf", join(lab.folder, file), "-C", root, "--strip-components=1"]);
  const { bin, dependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    readonly bin: Record<string, string>;
    readonly dependencies: Record<string, string>;
  };
  for (const [name, path] of Object.entries(bin)) {
    symlinkSync(join(root, path), join(prefix, "bin", name));
  }
  for (const name of Object.keys(dependencies)) {
    const link = join(root, "node_modules", name);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(join(ROOT, "node_modules", name), link);
  }
  return prefix;
}

/** A machine's disk has nothing of Wirehaul's but the package, and knows the registry by name. */
async function prepare(machine: LabMachine, hosts: string): Promise<void> {
  await machine.exec(["mount", "-t", "tmpfs", "none", "/var/lib"]);
  await machine.exec(["mount", "--bind", hosts, "/etc/hosts"]);
}

async function makeCertificate(folder: string): Promise<string> {
  const [cert, key] = [join(folder, "cert.pem"), join(folder, "key.pem")];
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const name = ["-subj", "/CN=own", "-addext", "subjectAltName=DNS:registry.example"];
  await run(["openssl", "req", "-x509", ...curve, "-keyout", key, "-out", cert, ...name]);
  chownSync(key, USER_ID, USER_ID);
  return cert;
}

interface People {
  readonly operator: Shell;
  readonly ox: Shell;
  readonly cow: Shell;
  readonly freda: Shell;
  readonly uma: Shell;
}

async function makePeople(lab: Lab): Promise<People> {
  chmodSync(lab.folder, 0o755);
  const prefix = await install(lab);
  const places = [...publicPlaces("ox"), COW];
  const make = (power: ConstructorParameters<typeof LabMachine>[0]): LabMachine =>
    new LabMachine(power);
  const { nodes, registry, guest } = await makeSites(lab, places, make, make);
  const lines = registryAddresses().map((address) => `${address} registry.example`);
  const hosts = lab.file("hosts", `127.0.0.1 localhost\n${lines.join("\n")}\n`);
  for (const machine of [registry, guest, ...nodes]) await prepare(machine, hosts);
  const path = `export PATH="${join(prefix, "bin")}:${dirname(process.execPath)}:$PATH"`;
  const operator = new Shell(registry, { name: "operator", profile: path, runner: AS_USER });
  chownSync(operator.folder, USER_ID, USER_ID);
  const trust = `export WIREHAUL_REGISTRY_CA=${await makeCertificate(operator.folder)}`;
  // Who types is root already.
  const sudo = 'sudo() { "$@"; }';
  const profile = [path, trust, sudo].join("\n");
  await operator.type(trust);
  return {
    operator,
    ox: new Shell(nodes[0]!, { name: "ox", profile }),
    cow: new Shell(nodes[1]!, { name: "cow", profile }),
    freda: new Shell(guest, { name: "freda", profile }),
    uma: new Shell(guest, { name: "uma", profile }),
  };
}

labTest(
  "operator, farmer and user do what the quickstart says, and have a grid",
  async (lab) => {
    const { operator, ox, cow, freda, uma } = await makePeople(lab);
    const [rootKey = "", serve = "", people = "", backup = ""] = section(
      "Operator: the registry",
      4,
    );
    const farmer = section("Farmer: nodes", 7);
    const [fredaKey = "", farm = "", token = "", runNode = "", nodeStatus = ""] = farmer;
    const [approval = "", removal = ""] = farmer.slice(5);
    const user = section("User: a network", 7);
    const [umaKey = "", create = "", look = "", enter = "", show = "", attach = ""] = user;
    const ping = user.at(-1) ?? "";

    const placeholders = new Map<string, string>();
    const filled = (text: string): string =>
      [...placeholders].reduce((all, [name, value]) => all.replaceAll(name, value), text);
    placeholders.set("ROOTS-KEY", (await operator.type(rootKey)).trim());
    placeholders.set("FREDAS-KEY", (await freda.type(fredaKey)).trim());
    placeholders.set("UMAS-KEY", (await uma.type(umaKey)).trim());
    const registry = operator.start(filled(serve));
    await registry.waitFor("serving https", WAIT_MS);
    expect(await operator.type(filled(people))).toBe("user 2 freda farmer\nuser 3 uma user\n");

    // Freda's nodes: one with a token, one that she approves.
    expect(await freda.type(farm)).toBe("farm 1 meadow\n");
    await freda.type(token);
    copyFileSync(join(freda.folder, "ox.token"), join(ox.folder, "ox.token"));
    const here = (text: string): string => `${text} --nic-kinds veth`;
    const node = ox.start(here(runNode));
    await node.waitFor("serving /run/", WAIT_MS);
    const cows = runNode.replace("--join-token-file ox.token ", "").replace("ox", "cow");
    expect(cows).toMatch(/--farm 1 --name cow/);
    await cow.start(here(cows)).waitFor("serving /run/", WAIT_MS);
    const untilStatus = async (shell: Shell, ...wanted: readonly RegExp[]): Promise<void> => {
      let text = "";
      await until(
        `${shell.machine.label}'s status is as it should be`,
        async () => {
          text = await shell.type(nodeStatus);
          return wanted.every((pattern) => pattern.test(text));
        },
        WAIT_MS,
        500,
      ).catch((error: Error) => {
        throw new Error(`${error.message}: ${text}`);
      });
    };
    await untilStatus(cow, /^grid: pending/m);
    const [list = "", approve = ""] = approval.split("\n");
    const [, id = ""] = /^(\w+) farm 1 cow pending/m.exec(await freda.type(list)) ?? [];
    placeholders.set("COWS-ID", id);
    await freda.type(filled(approve));
    await untilStatus(ox, /^grid: approved/m, /^IPv4: public/m, /^IPv6: public/m);
    await untilStatus(cow, /^grid: approved/m, /^IPv4: hidden/m, /^IPv6: hidden/m);

    // Uma's network.
    expect(await uma.type(create)).toMatch(
      /^\w+ farm 1 ox approved [\s\S]*^\w+ shop: 10\.20\.0\.0/m,
    );
    await until(
      "the matrix has a way",
      async () => /shop: 2 nodes, 1 pairs: IPv[46] 1; down: 0$/m.test(await uma.type(look)),
      WAIT_MS,
      500,
    );
    expect(await uma.type(look)).toMatch(/^\w+ shop: ox -\(incoming\)-> cow$/m);
    await uma.type(enter);
    // Either node may have the first subnet; the document says ox.
    const [, subnet = ""] =
      /^ {2}node ox \(\w+\): (10\.20\.\d)\.0\/24, /m.exec(await uma.type(show)) ?? [];
    placeholders.set("10.20.1.", `${subnet}.`);
    await ox.type(filled(attach));
    await until(
      "the laptop reaches the workload",
      async () => (await uma.type(filled(ping)).catch(() => "")).includes("3 received"),
      WAIT_MS,
    );
    await uma.type("wg-quick down ./shop.conf");

    await freda.type(filled(removal));
    await untilStatus(cow, /^grid: deleted/m, /^networks: 0/m);
    await registry.stop();
    expect(await operator.type(backup)).toMatch(/^registry\.backup: \d+ rows, version \d+\n$/);
    expect(existsSync(join(operator.folder, "registry.backup"))).toBe(true);
  },
  TIMEOUT_MS,
);
