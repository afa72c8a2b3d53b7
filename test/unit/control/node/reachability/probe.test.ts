/** Real sockets on the loopback: the prober against responders that are right, mute, lying or hostile. */
import { randomBytes } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import { afterEach, describe, expect, it } from "vitest";
import { realClock } from "../../../../../src/control/linux/clock.ts";
import { measureLifetime } from "../../../../../src/control/node/reachability/measure.ts";
import {
  ACCEPTED,
  cutMessages,
  decodeRequest,
  ECHO,
  encodeAnswer,
  REACHED,
  REFUSED,
  SEEN,
} from "../../../../../src/control/node/reachability/message.ts";
import { type Probed, probe } from "../../../../../src/control/node/reachability/probe.ts";
import { ReachabilityResponder } from "../../../../../src/control/node/reachability/responder.ts";
import {
  addressesOf,
  parseResponder,
} from "../../../../../src/control/node/reachability/responder-name.ts";

const opened: { close(): void }[] = [];
afterEach(() => {
  for (const one of opened.splice(0)) one.close();
});

async function run(texts: readonly string[], family: 4 | 6 = 4): Promise<Probed> {
  return await probe({
    clock: realClock,
    family,
    namespace: undefined,
    responders: texts.map(parseResponder),
    portRange: [20_000, 32_767],
    signal: new AbortController().signal,
  });
}

async function respond(address: string): Promise<string> {
  const responder = await ReachabilityResponder.open({ port: 0, addresses: [address] });
  opened.push(responder);
  return address.includes(":")
    ? `[${address}]:${responder.ports[0]}`
    : `${address}:${responder.ports[0]}`;
}

type Send = (bytes: Uint8Array, port?: number) => void;

/** A responder that does as it is told. */
async function fake(
  answer: (request: NonNullable<ReturnType<typeof decodeRequest>>, send: Send) => void,
): Promise<string> {
  const socket: Socket = createSocket("udp4");
  opened.push(socket);
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  socket.on("message", (bytes, { address, port }) => {
    for (const message of cutMessages(bytes)) {
      const request = decodeRequest(message);
      const send: Send = (reply, to = port) => socket.send(reply, to, address);
      if (request !== undefined) answer(request, send);
    }
  });
  return `127.0.0.1:${socket.address().port}`;
}

const COOKIE = new Uint8Array(16).fill(1);
const seenBy = (nonce: Uint8Array): Uint8Array =>
  encodeAnswer({ kind: SEEN, nonce, cookie: COOKIE, seen: { address: "198.51.100.1", port: 9 } });
const plain = (kind: typeof ACCEPTED | typeof REACHED | typeof REFUSED, nonce: Uint8Array) =>
  encodeAnswer({ kind, nonce, cookie: COOKIE, seen: undefined });

describe("probe", () => {
  it.each([
    [4, "127.0.0.1"],
    [6, "::1"],
  ] as const)("item 30: IPv%i of the loopback is reached", async (family, address) => {
    const probed = await run([await respond(address)], family);
    expect(probed).toMatchObject({ verdict: "public", seen: { address } });
    expect(probed.contacts).toHaveLength(1);
  });

  it("item 30: a responder whose packet does not arrive makes it hidden, and one that is mute nothing", async () => {
    const shut = await fake(({ kind, nonce }, send) =>
      send(kind === ECHO ? seenBy(nonce) : plain(ACCEPTED, nonce)),
    );
    const mute = await fake(() => undefined);
    const probed = await run([shut, mute]);
    expect(probed).toMatchObject({ verdict: "hidden", seen: { address: "198.51.100.1", port: 9 } });
    expect(probed.contacts.map(({ name }) => name)).toEqual([shut]);
    const unknown = await run([mute]);
    expect(unknown).toMatchObject({ verdict: "unknown", why: `${mute}: no answer` });
  });

  it("packets that somebody guesses prove nothing, however many come", async () => {
    const hostile = await fake(({ kind, nonce, port }, send) => {
      const guessed = nonce.map((byte) => byte ^ 0x55);
      for (let i = 0; i < 100; i++) {
        send(plain(REACHED, guessed), port === 0 ? undefined : port);
        send(new Uint8Array(64).fill(i));
        send(encodeAnswer({ kind: SEEN, nonce: guessed, cookie: COOKIE, seen: undefined }));
      }
      // What should come to the silent port, to the one that has asked: that is no proof.
      send(plain(REACHED, nonce));
      send(kind === ECHO ? seenBy(nonce) : plain(ACCEPTED, nonce));
    });
    expect((await run([hostile])).verdict).not.toBe("public");
  });

  it("a responder that refuses, or sends cookies for ever, leaves it unknown", async () => {
    const refusing = await fake(({ kind, nonce }, send) =>
      send(kind === ECHO ? seenBy(nonce) : plain(REFUSED, nonce)),
    );
    const endless = await fake(({ nonce }, send) => send(seenBy(nonce)));
    const { verdict, why } = await run([refusing, endless]);
    expect(verdict).toBe("unknown");
    expect(why).toContain(`${refusing}: it refused`);
    expect(why).toContain(`${endless}: no answer any more`);
  });

  it("a family that no responder has stays unknown", async () => {
    const probed = await run([await respond("127.0.0.1")], 6);
    expect(probed.why).toBe("no responder has an address of this family");
  });
});

describe("responder", () => {
  it("hostile datagrams of every length get nothing, and it goes on answering", async () => {
    const responder = await ReachabilityResponder.open({ port: 0, addresses: ["127.0.0.1"] });
    const hostile = createSocket("udp4");
    opened.push(responder, hostile);
    let answered = 0;
    hostile.on("message", () => {
      answered += 1;
    });
    const [port = 0] = responder.ports;
    const answerLike = encodeAnswer({ kind: SEEN, nonce: COOKIE, cookie: COOKIE, seen: undefined });
    const torn = [0, 1, 63, 64, 191, 192, 1_472, 65_507].flatMap((length) => [
      new Uint8Array(length),
      randomBytes(length),
    ]);
    for (const bytes of [...torn, answerLike, answerLike.slice(0, 63)]) {
      await new Promise((resolve) => hostile.send(bytes, port, "127.0.0.1", resolve));
    }
    expect(await run([`127.0.0.1:${port}`])).toMatchObject({ verdict: "public" });
    expect(responder.dropped).toBe(torn.length + 2);
    expect(answered).toBe(0);
  });

  it("answers at all addresses of the machine, each by itself, unless told which", async () => {
    const responder = await ReachabilityResponder.open({ port: 0 });
    opened.push(responder);
    const before = responder.ports;
    expect(before.length).toBeGreaterThan(0);
    expect(await run(before.map((port) => `127.0.0.1:${port}`))).toMatchObject({
      verdict: "public",
      contacts: [{ to: { address: "127.0.0.1" } }],
    });
    // Addresses that stay keep their sockets.
    await responder.serve();
    expect(responder.ports).toEqual(before);
  });

  it("says which port it can't have, and leaves no socket behind", async () => {
    const taken = createSocket("udp4");
    opened.push(taken);
    await new Promise<void>((resolve) => taken.bind(0, "127.0.0.1", resolve));
    const otherPort = taken.address().port;
    const place = { port: 0, addresses: ["127.0.0.1"] };
    await expect(ReachabilityResponder.open({ ...place, otherPort })).rejects.toThrow("EADDRINUSE");
    const elsewhere = { ...place, addresses: ["192.0.2.1"] };
    await expect(ReachabilityResponder.open(elsewhere)).rejects.toThrow("EADDRNOTAVAIL");
  });
});

describe("measurement", () => {
  it("is given up when the responder refuses, and ends at once when told to", async () => {
    const refusing = await fake(({ nonce }, send) => send(plain(REFUSED, nonce)));
    const place = { clock: realClock, family: 4, namespace: undefined } as const;
    const contact = async (text: string) => ({
      name: text,
      to: (await addressesOf(parseResponder(text), 4))[0]!,
      cookie: COOKIE,
    });
    const { signal } = new AbortController();
    expect(await measureLifetime(place, await contact(refusing), signal)).toBeUndefined();
    const controller = new AbortController();
    const patient = await contact(await respond("127.0.0.1"));
    const measuring = measureLifetime(place, patient, controller.signal);
    await realClock.wait(300);
    controller.abort();
    expect(await measuring).toBeUndefined();
  });
});

describe("names of responders", () => {
  it.each(["192.0.2.1:3479", "[2001:db8::1]:3479", "probe.example.org:1", "localhost:65535"])(
    "%s",
    (text) => {
      expect(parseResponder(text).text).toBe(text);
    },
  );

  it.each([
    "",
    "host",
    "host:0",
    "host:65536",
    "2001:db8::1:3479",
    "300.1.1.1:5",
    "a b:1",
    ":1",
    "-a:1",
  ])("%j is refused by name", (text) => {
    expect(() => parseResponder(text)).toThrow(`the responder "${text}"`);
  });
});
