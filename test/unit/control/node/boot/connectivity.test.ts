import { createServer, type Server } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { linesFor, wantedOfLease } from "../../../../../src/control/node/boot/addressing.ts";
import { ask, checkTarget } from "../../../../../src/control/node/boot/connectivity.ts";

const servers: { close(): unknown }[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

const OPTIONS = { dns: [], timeoutMs: 500 };

/** A server on loopback that answers so, or (0) never. */
async function serve(status: number, location?: string): Promise<string> {
  const server: Server = createServer((_request, response) => {
    if (status === 0) return;
    response.writeHead(status, location === undefined ? {} : { location });
    response.end("hello");
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

describe("asking", () => {
  it.each([200, 204, 401, 404])("status %d is an answer", async (status) => {
    const url = await serve(status);
    expect(await ask({ url }, OPTIONS)).toEqual({ url, families: [4], fault: undefined });
  });

  it.each([500, 503, 511])("status %d is none", async (status) => {
    const answer = await ask({ url: await serve(status) }, OPTIONS);
    expect(answer).toMatchObject({
      families: [],
      fault: `127.0.0.1: answers with status ${status}`,
    });
  });

  it("a redirection elsewhere is a captive portal's, one within is not", async () => {
    const portal = await ask({ url: await serve(302, "http://login.example/") }, OPTIONS);
    expect(portal.families).toEqual([]);
    expect(portal.fault).toContain("sends us to http://login.example/: a captive portal?");
    expect((await ask({ url: await serve(302, "/api") }, OPTIONS)).families).toEqual([4]);
  });

  it("silence ends in time, refusal and unknown names at once", async () => {
    const silent = await ask({ url: await serve(0) }, OPTIONS);
    expect(silent.fault).toBe("127.0.0.1: no answer within 0.5 s");
    const closed = await ask({ url: "http://127.0.0.1:1/" }, OPTIONS);
    expect(closed.fault).toContain("ECONNREFUSED");
    const unknown = await ask({ url: "http://no-such-name.invalid/" }, OPTIONS);
    expect(unknown.fault).toBe("the name no-such-name.invalid is not known");
  });

  it("a TCP port", async () => {
    const server = createTcpServer((socket) => socket.end());
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const url = `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`;
    expect((await ask({ url }, OPTIONS)).families).toEqual([4]);
  });

  it.each(["ftp://x/", "registry", "tcp://host", "http://"])("%s can't be asked", (url) => {
    expect(() => checkTarget({ url })).toThrow(`"${url}"`);
  });
});

describe("lines of an address", () => {
  it("a lease lives as long as it says, and its gateway may be outside its subnet", () => {
    const lease = { address: "10.0.0.5/32", gateway: "10.9.9.1", routes: [], dns: [] };
    expect(linesFor("zos", wantedOfLease(lease, 60))).toEqual([
      "address replace 10.0.0.5/32 broadcast + dev zos valid_lft 60 preferred_lft 60",
      "route replace default via 10.9.9.1 dev zos proto dhcp src 10.0.0.5 onlink",
    ]);
  });
});
