/** A million random datagrams at full speed: no crash, no answer, no growth, and the transfer beside it goes on. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { addressLine } from "../../src/cli/demo/lab.ts";
import { ping, pingUntil } from "../../src/cli/demo/measure.ts";
import { LISTEN_PORT, makePair } from "../../src/cli/demo/pair.ts";
import { until } from "../../src/control/linux/command.ts";
import type { InterfaceStatus } from "../../src/lane/status.ts";
import { labTest } from "./harness/lab-test.ts";
import { statusOf } from "./harness/status.ts";

const SENDER = fileURLToPath(new URL("./million-sender.mjs", import.meta.url));
const STRANGER = "192.0.2.66";
const COUNT = 1_000_000;
/** Fills every pool there is. */
const WARM_UP = 100_000;
const RSS_GROWTH_MAX = 16 << 20;
const LIMIT_MS = 60_000;

/** Datagrams that were received and thrown away, and those that the kernel threw away before. */
function thrownAway({ drops, socketDrops }: InterfaceStatus): number {
  // noRoute is of the other direction.
  const { noRoute, ...received } = drops;
  return Object.values(received).reduce((sum, count) => sum + count, socketDrops);
}

/** What the whole machine's network queues were too short for (proc(5), second column). */
function backlogDrops(): number {
  const lines = readFileSync("/proc/net/softnet_stat", "latin1").trim().split("\n");
  return lines.reduce((sum, line) => sum + Number.parseInt(line.split(" ")[1] ?? "", 16), 0);
}

labTest(
  `${COUNT} random datagrams at full speed`,
  async (lab) => {
    const pair = await makePair(lab, { a: "wirehaul", b: "wirehaul" });
    const { a, b } = pair;
    await a.namespace.ip([addressLine(`${STRANGER}/24`, a.cable)]);
    await pingUntil(a.namespace, b.outer4);
    await pingUntil(a.namespace, b.inner4);
    const send = async (count: number): Promise<void> => {
      const settings = { source: STRANGER, target: b.outer4, port: LISTEN_PORT, count };
      const command = [process.execPath, SENDER, JSON.stringify(settings)];
      const sender = a.namespace.spawn(command);
      await sender.waitFor(`sent ${count}\n`, LIMIT_MS);
      const { stdout } = await sender.stop();
      expect(JSON.parse(stdout.trim().split("\n").at(-1) ?? "")).toEqual({
        sent: count,
        answers: 0,
      });
    };
    const server = b.namespace.spawn(["iperf3", "-s", "-1", "-B", b.inner4, "--forceflush"]);
    await server.waitFor("Server listening");
    const client = ["iperf3", "-c", b.inner4, "-t", "90", "-i", "1", "-f", "k", "--forceflush"];
    const transfer = a.namespace.spawn(client);
    await transfer.waitFor("bits/sec");

    await send(WARM_UP);
    const before = await statusOf(b.node.name);
    const backlog = backlogDrops();
    const linesBefore = rates(transfer.output).length;
    const start = performance.now();
    await send(COUNT);
    const seconds = (performance.now() - start) / 1000;
    const during = rates(transfer.output).slice(linesBefore);
    const after = await until("all are accounted for", async () => {
      const now = await statusOf(b.node.name);
      const count = thrownAway(now) - thrownAway(before) + backlogDrops() - backlog;
      return count >= COUNT ? now : undefined;
    });
    transfer.signal("SIGKILL");
    await server.stop();

    const looked = thrownAway(after) - after.socketDrops - thrownAway(before) + before.socketDrops;
    const grown = after.process.residentBytes - before.process.residentBytes;
    console.log(
      `${COUNT} datagrams in ${seconds.toFixed(1)} s, ${looked} of them read; resident memory ${Math.round(grown / 1024)} KiB more; TCP beside it ${Math.min(...during)} to ${Math.max(...during)} kbit/s`,
    );
    expect(b.node.program.isRunning).toBe(true);
    expect(b.node.program.output).not.toContain("ERROR");
    // The flood reached the program, it was not the kernel alone that bore it.
    expect(looked).toBeGreaterThan(COUNT / 10);
    expect(grown).toBeLessThan(RSS_GROWTH_MAX);
    expect(after.process.descriptors).toBe(before.process.descriptors);
    expect(after.process.threads).toBe(before.process.threads);
    expect(after.timers).toBe(before.timers);
    expect(after.indexes).toBeLessThanOrEqual(3);
    // In every second of it something came through.
    expect(during.length).toBeGreaterThan(0);
    expect(Math.min(...during)).toBeGreaterThan(0);
    const shown = await b.node.peer(a.node.keys.publicKey);
    expect(shown.endpoint.startsWith(`${a.outer4}:`)).toBe(true);
    expect((await ping(a.namespace, b.inner4, { count: 50 })).received).toBe(50);
  },
  2 * LIMIT_MS,
);

/** kbit/s of each second, as iperf3 prints them. */
function rates(output: string): number[] {
  return [...output.matchAll(/([\d.]+) Kbits\/sec/g)].map(([, rate]) => Number(rate));
}
