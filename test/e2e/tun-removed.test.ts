/** The interface is deleted under traffic: the program ends cleanly, as wireguard-go does, its peer lives on, a restart brings it back. */
import { existsSync } from "node:fs";
import { expect } from "vitest";
import { socketPath } from "../../src/cli/demo/lab.ts";
import { ping } from "../../src/cli/demo/measure.ts";
import { innerOf, LISTEN_PORT, makePair } from "../../src/cli/demo/pair.ts";
import { labTest } from "./harness/lab-test.ts";
import { PingStream } from "./harness/ping-stream.ts";
import { SUBJECT } from "./harness/subject.ts";

for (const lanes of [1, 2]) {
  labTest(`ip link del while both sides send, with ${lanes} lanes`, async (lab) => {
    const environment = { WIREHAUL_LANES: `${lanes}` };
    const pair = await makePair(lab, { a: SUBJECT, b: SUBJECT, environment });
    const { a, b } = pair;
    const stream = await PingStream.start(a.namespace, b.inner4);
    const server = a.namespace.spawn(["iperf3", "-s", "-B", a.inner4, "--forceflush"]);
    await server.waitFor("Server listening");
    const client = ["iperf3", "-c", a.inner4, "-t", "60", "--bidir", "--forceflush", "-i", "0.2"];
    const transfer = b.namespace.spawn([...client, "--connect-timeout", "10000"]);
    await transfer.waitFor("bits/sec");
    await stream.flows();

    await b.namespace.ip([`link del dev ${b.node.name}`]);
    const ended = await b.node.program.ended;
    // wireguard-go ends with 0 as well: run this with WIREHAUL_SUBJECT=wireguard-go.
    expect(ended).toMatchObject({ code: 0, signal: null });
    expect(ended.stderr).not.toMatch(/^ {4}at /m);
    expect(existsSync(socketPath(b.node.name))).toBe(false);
    transfer.signal("SIGKILL");
    await server.stop();
    expect(a.node.program.isRunning).toBe(true);

    const again = await b.node.startAgain();
    await again.configure(
      [{ publicKey: a.node.keys.publicKey, allowedIps: innerOf(a) }],
      LISTEN_PORT,
    );
    await again.up([`${b.inner4}/24`, `${b.inner6}/64`]);
    await stream.flows();
    await stream.stop();
    expect((await ping(b.namespace, a.inner6, { count: 20 })).received).toBe(20);
  });
}
