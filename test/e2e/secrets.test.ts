/**
 * Where keys are and are not: in the memory of a running program, in its heap snapshots, in what it logs, answers and prints.
 * The scanner is shown to find what is there: every phase names exactly the secrets that it must find, and no others. What
 * remains nevertheless is in SECURITY.md.
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { generateKeys } from "../../src/cli/demo/keys.ts";
import type { Lab } from "../../src/cli/demo/lab.ts";
import { pingUntil } from "../../src/cli/demo/measure.ts";
import { makePair, type Pair, type PairEnd } from "../../src/cli/demo/pair.ts";
import type { WireguardNode } from "../../src/cli/demo/wireguard-node.ts";
import { attempt, until } from "../../src/control/linux/command.ts";
import { TYPE_INITIATION, TYPE_RESPONSE } from "../../src/wire/constants.ts";
import { initiationLayout, responseLayout } from "../../src/wire/layout.ts";
import { socketsOn } from "./harness/bound-sockets.ts";
import { Capture, type Datagram } from "./harness/capture.ts";
import { labTest } from "./harness/lab-test.ts";
import { inFile, inMemory, inText, type Secrets } from "./harness/secret-scan.ts";
import { publicKeyOf, type SessionSecrets, sessionSecrets } from "./harness/session-secrets.ts";

const PROBE = fileURLToPath(new URL("./harness/secrets-probe.mjs", import.meta.url));
const KEY_BYTES = 32;
const TIMEOUT_MS = 180_000;

const bytesOf = (base64: string): Buffer => Buffer.from(base64, "base64");
const asBytes = (...names: readonly string[]): string[] =>
  names.map((name) => `${name} as bytes`).sort();

function watched(lab: Lab, lanes: number): Readonly<Record<string, string>> {
  return {
    NODE_OPTIONS: `--import=${PROBE}`,
    WIREHAUL_PROBE: lab.folder,
    WIREHAUL_LANES: String(lanes),
  };
}

/** The draw of a process whose public key went over the wire. */
function ephemeralOf(lab: Lab, end: PairEnd, publicKey: Buffer): Buffer {
  const draws = readFileSync(join(lab.folder, `draws.${end.node.program.pid}`));
  for (let at = 0; at < draws.length; at += KEY_BYTES) {
    const draw = draws.subarray(at, at + KEY_BYTES);
    if (publicKeyOf(draw).equals(publicKey)) return draw;
  }
  throw new Error(`${end.node.name} drew no such ephemeral key`);
}

/** Makes A shake hands with B and computes what both know. */
async function shakeHands(lab: Lab, { a, b, presharedKey }: Pair): Promise<SessionSecrets> {
  const capture = await Capture.start(lab, a.namespace, a.cable);
  // Down, which has to be noticed, and up: whatever session there was is gone, and the next one is seen from its beginning.
  const port = await a.node.listenPort();
  await a.namespace.ip([`link set dev ${a.node.name} down`]);
  await until("its sockets are closed", async () => (await socketsOn(a.namespace, port)) === 0);
  await a.namespace.ip([`link set dev ${a.node.name} up`]);
  await pingUntil(a.namespace, b.inner4, 40_000);
  const payloads = (): Buffer[] => capture.datagrams().map(({ payload }: Datagram) => payload);
  const isResponse = (payload: Buffer): boolean => payload[0] === TYPE_RESPONSE;
  await until("the response was captured", () => payloads().some(isResponse));
  await capture.stop();
  const seen = payloads();
  const response = seen.findLast(isResponse)!;
  const answered = response.readUInt32LE(responseLayout.receiver);
  const initiation = seen.find(
    (payload) =>
      payload[0] === TYPE_INITIATION && payload.readUInt32LE(initiationLayout.sender) === answered,
  )!;
  const field = (message: Buffer, at: number): Buffer => message.subarray(at, at + KEY_BYTES);
  return sessionSecrets({
    initiator: bytesOf(a.node.keys.privateKey),
    responder: bytesOf(b.node.keys.privateKey),
    initiatorEphemeral: ephemeralOf(lab, a, field(initiation, initiationLayout.ephemeral)),
    responderEphemeral: ephemeralOf(lab, b, field(response, responseLayout.ephemeral)),
    presharedKey: bytesOf(presharedKey!),
  });
}

/** Which of all secrets of a pair are found in the memory of one side. */
function heldBy(end: PairEnd, secrets: Secrets): string[] {
  return Object.keys(inMemory(end.node.program.pid, secrets)).sort();
}

/** Heap snapshots of all threads of a program, searched; gives the findings and how many there were. */
async function inHeaps(
  lab: Lab,
  { program, name }: WireguardNode,
  secrets: Secrets,
): Promise<{ readonly found: readonly string[]; readonly threads: number }> {
  const path = join(lab.folder, `heap.${program.pid}`);
  program.signal("SIGUSR2");
  await until(
    `${name} has written its heap snapshots`,
    async () => {
      // A lane runs JavaScript only when it is asked something.
      await attempt(["wg", "show", name, "listen-port"]);
      return existsSync(`${path}.done`);
    },
    60_000,
  );
  rmSync(`${path}.done`);
  const found: string[] = [];
  let threads = 0;
  for (const thread of ["main", "1", "2", "3", "4"]) {
    const file = `${path}.${thread}`;
    if (!existsSync(file)) continue;
    threads++;
    found.push(...Object.keys(inFile(file, secrets)).map((what) => `${what}, thread ${thread}`));
    // The control: what a snapshot is known to hold is found in it.
    const known = new Map([["known", readFileSync(file).subarray(0, KEY_BYTES)]]);
    expect(inFile(file, known)).not.toEqual({});
    rmSync(file);
  }
  return { found, threads };
}

for (const lanes of [1, 2]) {
  labTest(
    `with lanes=${lanes}, keys are in memory as long as they are used, once, and gone after`,
    async (lab) => {
      const pair = await makePair(lab, {
        a: "wirehaul",
        b: "wirehaul",
        hasPsk: true,
        environment: watched(lab, lanes),
      });
      const { a, b } = pair;
      const made = await shakeHands(lab, pair);
      const ownOf = (end: PairEnd): Secrets =>
        new Map([["private key", bytesOf(end.node.keys.privateKey)]]);
      const shared: Secrets = new Map([
        ["preshared key", bytesOf(pair.presharedKey!)],
        ...made.peer,
        ...made.session,
        ...made.handshake,
      ]);
      const session = [...made.session.keys()];
      const everything = (end: PairEnd): Secrets => new Map([...ownOf(end), ...shared]);

      for (const end of [a, b]) {
        // Keys come in several times, in pieces of different sizes, and are asked for in every way that there is.
        const other = end === a ? b : a;
        const psk = join(lab.folder, "psk");
        writeFileSync(psk, `${pair.presharedKey}\n`, { mode: 0o600 });
        for (let round = 0; round < 3; round++) {
          await end.node.set(["peer", other.node.keys.publicKey, "preshared-key", psk]);
          await end.node.set(["private-key", end.node.secret(end.node.keys.privateKey)]);
        }
        for (const what of [
          ["show", end.node.name, "dump"],
          ["showconf", end.node.name],
        ]) {
          expect((await attempt(["wg", ...what])).code).toBe(0);
        }
        // Live: the scanner finds what is in use, and nothing that only the handshake needed.
        expect(heldBy(end, everything(end))).toEqual(
          asBytes("private key", "preshared key", "static-static secret", ...session),
        );
        const heaps = await inHeaps(lab, end.node, everything(end));
        expect(heaps).toEqual({ found: [], threads: 1 + lanes });
      }

      // The peer goes: all that was shared with it too.
      await a.node.set(["peer", b.node.keys.publicKey, "remove"]);
      expect(heldBy(a, everything(a))).toEqual(asBytes("private key"));
      // Then our own key.
      await a.node.set(["private-key", "/dev/null"]);
      expect(heldBy(a, everything(a))).toEqual([]);

      // Another key on the other side: the session may still receive, until it expires.
      const before = everything(b);
      await b.node.set(["private-key", b.node.secret(generateKeys().privateKey)]);
      expect(heldBy(b, before)).toEqual(asBytes("preshared key", ...session));
      await b.namespace.ip([`link set dev ${b.node.name} down`]);
      await until("the sessions are gone", () => heldBy(b, made.session).length === 0);
      expect(heldBy(b, before)).toEqual(asBytes("preshared key"));
      for (const end of [a, b]) {
        const heaps = await inHeaps(lab, end.node, everything(end));
        expect(heaps).toEqual({ found: [], threads: 1 + lanes });
        expect(inText(end.node.program.output, before)).toEqual({});
        expect(inText(end.node.program.output, everything(a))).toEqual({});
        expect(end.node.program.output).toContain("handshake");
      }
    },
    TIMEOUT_MS,
  );
}
