/** The TypeScript backend carries a whole tunnel, with wireguard-go on the other side; a backend that there is none of is refused. */
import { join } from "node:path";
import { expect } from "vitest";
import { ROOT, startCommand } from "../../src/cli/demo/implementations.ts";
import { iperf, ping, pingUntil } from "../../src/cli/demo/measure.ts";
import { innerOf, makePair } from "../../src/cli/demo/pair.ts";
import { WireguardNode } from "../../src/cli/demo/wireguard-node.ts";
import { attempt, run } from "../../src/control/linux/command.ts";
import { labTest } from "./harness/lab-test.ts";

labTest("noble for handshakes and transport", async (lab) => {
  const pair = await makePair(lab, { a: "wirehaul", b: "wireguard-go" });
  const { a, b } = pair;
  await a.node.stop();
  const node = await WireguardNode.start(lab, {
    implementation: "wirehaul",
    namespace: a.namespace,
    label: "nb",
    environment: { WIREHAUL_CRYPTO: "noble" },
  });
  await b.node.set(["peer", node.keys.publicKey, "allowed-ips", innerOf(a).join(",")]);
  await node.configure([
    {
      publicKey: b.node.keys.publicKey,
      allowedIps: innerOf(b),
      endpoint: `${b.outer4}:51820`,
    },
  ]);
  await node.up([`${a.inner4}/24`, `${a.inner6}/64`]);
  await pingUntil(a.namespace, b.inner4);
  expect((await ping(b.namespace, a.inner6)).received).toBe(3);
  const tcp = await iperf(a.namespace, b.namespace, b.inner4, { bytes: 5_000_000 });
  expect(tcp.bytes).toBeGreaterThan(4_000_000);
  const status = await run([
    process.execPath,
    join(ROOT, "bin", "wirehaul"),
    "status",
    node.name,
    "--json",
  ]);
  expect(status).toContain('"noble"');
});

labTest("a backend that there is none of", async (lab) => {
  const namespace = await lab.namespace("cb");
  for (const command of [startCommand("wirehaul")!, startCommand("wirehaul")!.slice(0, -1)]) {
    const name = lab.interfaceName("cb");
    const result = await attempt([
      ...["ip", "netns", "exec", namespace.name],
      ...[...command, "--crypto=rot13", name],
    ]);
    expect(result.code).toBe(1);
    expect(result.stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(result.stderr).toContain('must be openssl or noble, it is "rot13"');
    expect(await run(["ip", "-n", namespace.name, "link"])).not.toContain(name);
    expect(await run(["ip", "netns", "pids", namespace.name])).toBe("");
  }
});
