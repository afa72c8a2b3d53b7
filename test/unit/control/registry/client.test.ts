/** The client against a server that never says the last word. */
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Identity, RegistryClient } from "../../../../src/control/registry/client.ts";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

let server: Server;
let url = "";
const open = new Set<ServerResponse>();
beforeEach(async () => {
  server = createServer((request, response) => {
    open.add(response);
    if (request.url?.startsWith("/api/v2/events") !== true) return;
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write('event: hello\ndata: {"revision":1}\n\n');
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(() => {
  for (const response of open) response.destroy();
  server.close();
});

describe("what is told to end ends, whatever the garbage collection took meanwhile", () => {
  it.each([1, 2, 3])("a stream (%d)", async () => {
    const identity = Identity.generate();
    const end = new AbortController();
    const client = new RegistryClient({ url, identity });
    let heard = 0;
    const listening = (async () => {
      for await (const _event of client.events(end.signal, 0)) heard += 1;
    })();
    while (heard === 0) await sleep(5);
    // As the registry's signs of life do: the stream goes on, and garbage with it.
    for (let beat = 0; beat < 10; beat++) {
      for (const response of open) response.write(": \n\n");
      await sleep(5);
      collect();
    }
    end.abort();
    const beats = setInterval(() => {
      for (const response of open) response.write(": \n\n");
    }, 50);
    const result = await Promise.race([listening.then(() => "ended"), sleep(3_000, "goes on")]);
    clearInterval(beats);
    expect(result).toBe("ended");
  });

  it("a request", async () => {
    const end = new AbortController();
    const client = new RegistryClient({
      ...{ url, identity: Identity.generate(), signal: end.signal },
    });
    const asking = client.me().then(
      () => "answered",
      (error: Error) => error.message,
    );
    while (open.size === 0) await sleep(5);
    for (let round = 0; round < 10; round++) {
      await sleep(5);
      collect();
    }
    end.abort();
    expect(await Promise.race([asking, sleep(3_000, "goes on")])).toMatch(/does not answer/);
  });
});
