import { afterEach, describe, expect, it } from "vitest";
import { realClock } from "../../../../src/control/linux/clock.ts";
import { until } from "../../../../src/control/linux/command.ts";
import { Supervised } from "../../../../src/control/linux/supervised.ts";

const running: Supervised[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((one) => one.stop()));
});

interface Watched {
  readonly process: Supervised;
  readonly lines: string[];
  readonly ends: string[];
}

function supervise(script: string): Watched {
  const lines: string[] = [];
  const ends: string[] = [];
  const process = new Supervised({
    command: ["sh", "-c", script],
    clock: realClock,
    onLine: (line) => lines.push(line),
    onEnd: (why) => ends.push(why),
  });
  running.push(process);
  return { process, lines, ends };
}

describe("supervised program", () => {
  it("its lines come one by one, and it is started again when it ends", async () => {
    const { lines, ends } = supervise("echo one; echo two; echo broken >&2; exit 3");
    await until("its second life", () => lines.length >= 4);
    expect(lines.slice(0, 4)).toEqual(["one", "two", "one", "two"]);
    expect(ends[0]).toBe("ended with 3: broken");
  });

  it("stopping ends it for good, even one that ignores the wish", async () => {
    const { process, lines, ends } = supervise(
      "trap '' TERM; echo $$; while :; do sleep 0.05; done",
    );
    await until("its life", () => lines.length > 0);
    await process.stop();
    expect(process.isRunning).toBe(false);
    expect(ends).toEqual([]);
    expect(() => globalThis.process.kill(Number(lines[0]), 0)).toThrow("ESRCH");
  });

  it("one that can't be started is said, and tried again", async () => {
    const ends: string[] = [];
    const process = new Supervised({
      command: ["/no/such/program"],
      clock: realClock,
      onLine: () => undefined,
      onEnd: (why) => ends.push(why),
    });
    running.push(process);
    await until("a second attempt", () => ends.length > 1);
    expect(ends[0]).toContain("/no/such/program");
  });
});
