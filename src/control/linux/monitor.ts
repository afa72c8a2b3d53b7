/**
 * Says that something about links, addresses or routes has changed; what, the listener reads for itself. `ip monitor` prints lines
 * for people: that there is one is all that is taken from them.
 */
import type { Clock } from "./clock.ts";
import { Supervised } from "./supervised.ts";

/** Watches the process's own namespace from now on; also calls after each (re)start, since changes may have been missed. */
export class Monitor {
  readonly #process: Supervised;

  constructor(clock: Clock, onChange: () => void) {
    this.#process = new Supervised({
      command: ["ip", "monitor", "link", "address", "route"],
      clock,
      onLine: onChange,
      onStart: onChange,
    });
  }

  async stop(): Promise<void> {
    await this.#process.stop();
  }
}
