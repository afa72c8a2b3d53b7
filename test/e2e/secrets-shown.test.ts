/**
 * What people see: logs at every level, answers, status, errors, printed objects, wg-quick's output. No key in any of it, in no
 * form, also when somebody puts keys where they do not belong. What `wg` prints of a bad file is its own.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { ROOT } from "../../src/cli/demo/implementations.ts";
import { generateKeys, generatePsk } from "../../src/cli/demo/keys.ts";
import { socketPath } from "../../src/cli/demo/lab.ts";
import { WireguardNode } from "../../src/cli/demo/wireguard-node.ts";
import { run, until } from "../../src/control/linux/command.ts";
import { labTest } from "./harness/lab-test.ts";
import { inText, type Secrets } from "./harness/secret-scan.ts";
import { skip } from "./harness/skip.ts";
import { exchange } from "./uapi-client.ts";

const PRINTER = fileURLToPath(new URL("./secrets-printer.mjs", import.meta.url));
const WIREHAUL = join(ROOT, "bin", "wirehaul");
const PROGRAM = join(ROOT, "bin", "wirehaul-wg");

const bytesOf = (base64: string): Buffer => Buffer.from(base64, "base64");

/** Requests with the key where it belongs but bad, and where it does not belong. */
function misuses(key: Buffer, peer: string): string[] {
  const hex = key.toString("hex");
  const lines: string[] = [];
  for (const text of [hex, hex.toUpperCase(), key.toString("base64"), `${hex}00`, hex.slice(1)]) {
    lines.push(`private_key=${text}0`, `private_key ${text}`, `privatekey=${text}`, text);
    lines.push(`${text}=`, `${text}=1`, `preshared_key=${text}`, `listen_port=${text}`);
    lines.push(`fwmark=${text}`, `replace_peers=${text}`, `public_key=${text}0`);
    for (const line of [
      ...[`preshared_key=${text}0`, `preshared_key=${text} `, `private_key=${text}`],
      ...[`endpoint=${text}`, `endpoint=${text}:51820`, `endpoint=[fe80::1%${text}]:1`],
      ...[`allowed_ip=${text}`, `allowed_ip=${text}/32`, `allowed_ip=10.0.0.0/${text}`],
      ...[`persistent_keepalive_interval=${text}`, `remove=${text}`, `protocol_version=${text}`],
      ...[text, `${text}=1`],
    ]) {
      lines.push(`public_key=${peer}\n${line}`);
    }
  }
  const requests = lines.map((line) => `set=1\n${line}\n\n`);
  return [...requests, `${hex}\n\n`, `get=1\n${hex}\n\n`, `set=${hex}\n\n`, `status=1${hex}\n\n`];
}

for (const level of ["silent", "error", "verbose", "debug"]) {
  labTest(`LOG_LEVEL=${level}: bad requests with keys show none`, async (lab) => {
    const namespace = await lab.namespace("n");
    const node = await WireguardNode.start(lab, {
      implementation: "wirehaul",
      namespace,
      label: "w",
      environment: { LOG_LEVEL: level },
    });
    const [strayKey, presharedKey] = [generatePsk(), generatePsk()];
    const { publicKey } = generateKeys();
    await node.configure([{ publicKey, presharedKey, allowedIps: ["10.77.0.2/32"] }], 51820);
    await node.up(["10.77.0.1/24"]);
    const secrets: Secrets = new Map([
      ["private key", bytesOf(node.keys.privateKey)],
      ["preshared key", bytesOf(presharedKey)],
      ["stray key", bytesOf(strayKey)],
    ]);
    const peer = bytesOf(publicKey).toString("hex");
    let answers = "";
    for (const request of misuses(bytesOf(strayKey), peer)) {
      answers += await exchange(socketPath(node.name), [request]);
    }
    // Nearly all are refused; what is good of them is no key.
    expect(answers.match(/errno=-(22|71|5)\n/g)?.length).toBeGreaterThan(100);
    const status = [process.execPath, WIREHAUL, "status"];
    const shown = {
      status: await run([...status, node.name]),
      all: await run(status),
      json: await run([...status, "--json", node.name]),
      show: await node.show(),
      answers: answers.replaceAll(/preshared_key=\w+/g, ""),
    };
    expect(shown.status).toContain(publicKey);
    expect(shown.json).toContain(publicKey);
    const { stdout, stderr } = await node.program.stop();
    expect(stdout).toBe("");
    if (level === "silent") expect(stderr).toBe("");
    else expect(stderr).toContain("invalid value of private_key");
    for (const [what, text] of [...Object.entries(shown), ["log", stderr] as const]) {
      expect(inText(text, secrets), what).toEqual({});
    }
    // The control: the only answer with keys is the one that the protocol wants.
    expect(inText(stderr + bytesOf(strayKey).toString("hex"), secrets)).not.toEqual({});
  });
}

labTest("arguments that are keys are not repeated", async (lab) => {
  const namespace = await lab.namespace("n");
  const key = generatePsk();
  const hex = bytesOf(key).toString("hex");
  const secrets = new Map([["key", bytesOf(key)]]);
  for (const args of [
    [key],
    [hex],
    ["-f", `--crypto=${key}`, lab.name("w")],
    ["-f", `--lanes=${key}`, lab.name("w")],
    [`--${hex}`, lab.name("w")],
  ]) {
    const result = await namespace.attempt([process.execPath, PROGRAM, ...args]);
    expect(result.code).toBe(1);
    expect(result.stderr).not.toBe("");
    expect(inText(result.stderr + result.stdout, secrets), args.join(" ")).toEqual({});
  }
  const variables = ["WG_TUN_FD", "WG_UAPI_FD", "WIREHAUL_CRYPTO", "WIREHAUL_LANES"];
  for (const variable of [...variables, "WIREHAUL_LANE_NICE"]) {
    const result = await namespace.attempt([process.execPath, PROGRAM, "-f", lab.name("w")], {
      environment: { [variable]: key },
    });
    expect(result.code).toBe(1);
    expect(result.stderr).toContain(variable);
    expect(inText(result.stderr + result.stdout, secrets), variable).toEqual({});
  }
});

labTest("a program that prints all that it holds prints no key", async (lab) => {
  const namespace = await lab.namespace("n");
  const names = [lab.interfaceName("v"), lab.interfaceName("w")];
  const output = await namespace.exec([process.execPath, PRINTER, ...names]);
  const { keys, publicKey, text } = JSON.parse(output) as {
    readonly keys: Readonly<Record<string, string>>;
    readonly publicKey: string;
    readonly text: string;
  };
  const secrets = new Map(Object.entries(keys).map(([name, key]) => [name, bytesOf(key)]));
  expect(secrets.size).toBe(3);
  expect(inText(text, secrets)).toEqual({});
  // It did print: what is public, placeholders, and every error.
  expect(inText(text, new Map([["public", bytesOf(publicKey)]]))).not.toEqual({});
  expect(text).toContain("(hidden)");
  for (const what of ["privateKey is not", "presharedKey is not", "publicKey is not"]) {
    expect(text).toContain(what);
  }
  expect(text).not.toContain("was accepted");
});

labTest("wg-quick that fails shows no key, and leaves nothing", async (lab, context) => {
  if (existsSync("/sys/module/wireguard")) {
    skip(context, "this kernel has WireGuard, so wg-quick uses that and no other");
  }
  const namespace = await lab.namespace("n");
  const keys = generateKeys();
  const presharedKey = generatePsk();
  const secrets: Secrets = new Map([
    ["private key", bytesOf(keys.privateKey)],
    ["preshared key", bytesOf(presharedKey)],
  ]);
  const failures = {
    "an address that is none": ["Address = 10.77.0.300/24"],
    "a hook that fails": ["Address = 10.77.0.1/24", "PostUp = false"],
    "an MTU that is too large": ["Address = 10.77.0.1/24", "MTU = 100000"],
    "a table that is none": ["Address = 10.77.0.1/24", "Table = nonsense"],
  };
  for (const [index, [what, lines]] of Object.entries(failures).entries()) {
    const name = lab.interfaceName(`q${index}`);
    const file = lab.file(
      `${name}.conf`,
      [
        "[Interface]",
        `PrivateKey = ${keys.privateKey}`,
        ...lines,
        "[Peer]",
        `PublicKey = ${generateKeys().publicKey}`,
        `PresharedKey = ${presharedKey}`,
        "AllowedIPs = 10.99.0.0/16",
        "",
      ].join("\n"),
    );
    const { code, stdout, stderr } = await namespace.attempt(["wg-quick", "up", file], {
      environment: { WG_QUICK_USERSPACE_IMPLEMENTATION: PROGRAM, LOG_LEVEL: "debug" },
    });
    expect(code, what).not.toBe(0);
    expect(stderr, what).toContain(`wg setconf ${name}`);
    expect(inText(stdout + stderr, secrets), what).toEqual({});
    await until(`${name} is gone`, async () => !(await namespace.hasLink(name)));
    await until(`the socket of ${name} is gone`, () => !existsSync(socketPath(name)));
  }
});
