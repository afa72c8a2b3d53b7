/** What people see of a grid's health, by the commands: the matrix, explanations, and a client's file with its QR code. */
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import decodeQR from "qr/decode.js";
import { expect } from "vitest";
import { run } from "../../src/control/linux/command.ts";
import { Identity, type NetworkStatus } from "../../src/control/registry/client.ts";
import { Field, SIMULATED } from "./harness/field.ts";
import { PROGRAM } from "./harness/grid.ts";
import { labTest } from "./harness/lab-test.ts";

/** The picture of a terminal's half blocks: light modules on dark ground are the code's light ones. */
function pictureOf(text: string): {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
} {
  const scale = 4;
  const lines = text.split("\n").filter((line) => line !== "");
  const size = Math.max(...lines.map((line) => line.length));
  const rows = lines.flatMap((line) => {
    const cells = [...line.padEnd(size)];
    return [cells.map((cell) => "█▀".includes(cell)), cells.map((cell) => "█▄".includes(cell))];
  });
  const [width, height] = [size * scale, rows.length * scale];
  const data = new Uint8Array(width * height * 4);
  for (let at = 0; at < width * height; at++) {
    const [x, y] = [at % width, Math.floor(at / width)];
    const value = rows[Math.floor(y / scale)]?.[Math.floor(x / scale)] === true ? 255 : 0;
    data.set([value, value, value, 255], at * 4);
  }
  return { width, height, data };
}

labTest(
  "status, explain, clients: by names, for who may, readable",
  async (lab) => {
    const field = await Field.make(lab);
    await field.all();
    const [url = ""] = field.urls;
    const flags = (identity: Identity): string[] => {
      const key = lab.file(`${identity.keyId}.pem`, identity.secretPem());
      return ["--registry", url, "--key", key];
    };
    const owner = flags(field.grid.identityOf(field.user));
    const wirehaul = (...args: readonly string[]): Promise<string> =>
      run([process.execPath, PROGRAM, ...args]);

    const text = await wirehaul("network", "status", "net", ...owner);
    const relayName = field.called((await field.over("a", "b"))!);
    const [a, b, c, r1] = (["a", "b", "c", "r1"] as const).map((name) => field.called(name));
    expect(text).toContain(`${field.id} net: 6 nodes, 15 pairs:`);
    expect(text).toContain("IPv4 12");
    expect(text).toContain("relay 3; down: 0");
    const line = (one: string, other: string): string | undefined =>
      text
        .split("\n")
        .find(
          (row) => row.startsWith(`${one} - ${other} `) || row.startsWith(`${other} - ${one} `),
        );
    expect(line(a!, r1!)).toMatch(/IPv4 +up +handshake \d+ s ago +20 ms +loss 0 % +for \d+ s$/);
    expect(line(a!, b!)).toMatch(
      new RegExp(`via ${relayName} +up +handshake \\d+ s ago +40 ms +loss 0 % +for`),
    );

    // One that is lost, one that is away.
    await field.report("a", ["r1"]);
    await field.silence("c");
    await field.untilSilent(1);
    const status = JSON.parse(
      await wirehaul("network", "status", field.id, "--json", ...owner),
    ) as NetworkStatus;
    const pair = (one: string, other: string) =>
      status.pairs.find(
        ({ from, to }) =>
          [from, to].includes(field.key(one)) && [from, to].includes(field.key(other)),
      );
    // Over another relay now, whose hops are up.
    expect(pair("a", "r1")).toMatchObject({ path: "relay", state: "up", roundTripMs: 40 });
    expect(status.nodes.filter(({ isAway }) => isAway).map(({ node }) => node)).toEqual([
      field.key("c"),
    ]);
    const stale = pair("c", "r2")?.sides?.find(({ state }) => state === "stale");
    expect(stale).toMatchObject({ roundTripMs: 20, path: "v4" });
    expect(await wirehaul("network", "status", "net", ...owner)).toMatch(
      new RegExp(`  ${c}: away, last seen .* ago: what it said is stale`),
    );

    // Why.
    const why = await wirehaul("explain", a!, r1!, "--network", "net", ...owner);
    expect(why).toContain(`IPv4: ${a} does not reach ${r1} any more; it goes on asking`);
    const path = await wirehaul("explain", a!, b!, ...owner);
    expect(path).toMatch(new RegExp(`net: ${a} -\\(v4\\)-> node \\d+ -\\(incoming\\)-> ${b}`));
    expect(path).toContain("IPv4: both are hidden");
    expect(path).toContain("another relay: ");
    // Admins and the nodes' farmer may ask; another user sees nothing of it, not even that it is there.
    expect(await wirehaul("explain", a!, b!, ...flags(field.grid.admin))).toBe(path);
    const stranger = flags(field.grid.identityOf(await field.grid.user(url)));
    await expect(wirehaul("explain", a!, b!, ...stranger)).rejects.toThrow("there is no network");
    const { key } = { key: Identity.generate() };
    await field.grid.client(url).addUser({ name: "farmer", key: key.keyId, role: "farmer" });
    await expect(wirehaul("explain", a!, b!, ...flags(key))).rejects.toThrow("there is no network");
    await field.postgres.sql(
      "grid",
      "update farms set owner = (select id from users where name = 'farmer')",
    );
    expect(await wirehaul("explain", a!, b!, ...flags(key))).toBe(path);
    await expect(field.grid.client(url, key).networkStatus(field.id)).rejects.toMatchObject({
      code: "missing",
    });
    await expect(
      field.grid.client(url, key).explain(field.key("a"), field.key("a")),
    ).rejects.toMatchObject({ code: "invalid" });

    // A client: by a node that is public only; its file is one that wg-quick takes, the code is that file.
    const file = join(lab.folder, "laptop.conf");
    const adding = (name: string, access: string, ...rest: readonly string[]): string[] => [
      ...["network", "client", "add", "net", name, "--access", access, ...rest, ...owner],
    ];
    await expect(wirehaul(...adding("laptop", a!))).rejects.toThrow("is not public");
    expect((await field.user.network(field.id)).clients).toEqual([]);
    await wirehaul(...adding("laptop", r1!, "--output", file));
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const again = wirehaul(...adding("phone", r1!, "--output", file));
    await expect(again).rejects.toThrow("EEXIST");
    const twice = wirehaul(...adding("laptop", r1!, "--output", `${file}.2`));
    await expect(twice).rejects.toThrow("has a client of this name");
    expect(() => statSync(`${file}.2`)).toThrow("ENOENT");
    const [made] = (await field.user.network(field.id)).clients;
    const content = readFileSync(file, "utf8");
    const [, privateKey = ""] = /PrivateKey = (.*)/.exec(content) ?? [];
    expect(execFileSync("wg", ["pubkey"], { input: privateKey, encoding: "utf8" }).trim()).toBe(
      made?.publicKey,
    );
    expect(content).toContain(`Address = ${made?.address}/32, ${made?.address6}/128\n`);
    expect(content).toContain(`PublicKey = ${field.of("r1").publicKey}\n`);
    expect(content).toMatch(/Endpoint = 198\.51\.100\.1:\d+\n/);
    execFileSync("wg-quick", ["strip", file]);
    // The registry has never seen the private key.
    expect(await field.postgres.sql("grid", "select change from audit")).not.toContain(privateKey);

    const args = [PROGRAM, ...adding("phone", r1!, "--qr")];
    const phone = spawnSync(process.execPath, args, { encoding: "utf8" });
    expect(phone.status).toBe(0);
    expect(phone.stdout).toContain("[Interface]\nPrivateKey = ");
    expect(decodeQR(pictureOf(phone.stderr))).toBe(phone.stdout);
    const left = await wirehaul("network", "client", "remove", "net", "laptop", ...owner);
    expect(left).toContain("client phone: ");
    expect(left).not.toContain("laptop");

    // Names that are nothing, and that are two things.
    await expect(wirehaul("network", "show", "nets", ...owner)).rejects.toThrow(
      'there is no network "nets"',
    );
    await expect(wirehaul("network", "show", "net")).rejects.toThrow("--registry <url>");
    const env = { ...process.env, WIREHAUL_REGISTRY: url, WIREHAUL_KEY: owner[3] };
    expect(
      execFileSync(process.execPath, [PROGRAM, "network", "list"], { env, encoding: "utf8" }),
    ).toContain(" net 10.20.0.0/16, 6 nodes");
    const { revision } = await field.user.network(field.id);
    const late = wirehaul("network", "remove-node", "net", c!, "--revision", "9999", ...owner);
    await expect(late).rejects.toThrow(`has revision ${revision}, not 9999`);
    await wirehaul("network", "remove-node", "net", c!, ...owner);
    const shown = await wirehaul("network", "show", "net", ...owner);
    expect(shown.match(/^ {2}node /gm)).toHaveLength(SIMULATED.length - 1);
  },
  180_000,
);
