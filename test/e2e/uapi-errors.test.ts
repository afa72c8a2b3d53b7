/**
 * Our half of the configuration protocol against wireguard-go itself: the same bytes to both programs, each in a namespace of
 * its own, and every byte of the replies and of the state after them compared. What an old wireguard-go does not know is
 * compared with the recorded answers of the newest.
 */
import { existsSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Implementation, startCommand } from "../../src/cli/demo/implementations.ts";
import { generateKeys } from "../../src/cli/demo/keys.ts";
import { Lab, socketPath } from "../../src/cli/demo/lab.ts";
import { WireguardNode } from "../../src/cli/demo/wireguard-node.ts";
import { run, until } from "../../src/control/linux/command.ts";
import { Capture } from "./harness/capture.ts";
import { labTest } from "./harness/lab-test.ts";
import { REFERENCE, SUBJECT } from "./harness/subject.ts";
import { type Answers, CASES, RESET, type UapiCase } from "./uapi-cases.ts";
import { exchange, sorted } from "./uapi-client.ts";

const GET = "get=1\n\n";

/** The newest where there is one; it also shows that the recorded answers are its. */
const references = ([REFERENCE, "wireguard-go-newest"] as const).filter(
  (name) => name !== SUBJECT && startCommand(name) !== undefined,
);

/** 20220316 of "wireguard-go v0.0.20220316". */
async function versionOf(implementation: Implementation): Promise<number> {
  const text = await run([startCommand(implementation)![0]!, "--version"]);
  const found = /v?0\.0\.(\d{8})/.exec(text)?.[1];
  if (found === undefined) throw new Error(`${implementation} tells no version: ${text}`);
  return Number(found);
}

/** Starts an implementation in a namespace of its own and returns the path of its socket. */
async function serve(lab: Lab, implementation: Implementation, label: string): Promise<string> {
  const namespace = await lab.namespace(`${label}n`);
  const name = lab.interfaceName(`${label}w`);
  const program = namespace.spawn([...startCommand(implementation)!, name], {
    LOG_LEVEL: "silent",
  });
  const path = socketPath(name);
  await until(`${implementation} opens ${path}`, () => {
    if (!program.isRunning) throw new Error(`${implementation} ended early: ${program.output}`);
    return existsSync(path);
  });
  return path;
}

async function answersOf(path: string, { pieces }: UapiCase): Promise<Answers> {
  expect(await exchange(path, [RESET])).toBe("errno=0\n\n");
  const reply = sorted(await exchange(path, pieces));
  return { reply, state: sorted(await exchange(path, [GET])) };
}

function sortedAnswers({ reply, state }: Answers): Answers {
  return { reply: sorted(reply), state: sorted(state) };
}

for (const reference of references) {
  describe(`replies and state of ${SUBJECT} are those of ${reference}`, () => {
    let lab: Lab;
    let version: number;
    let theirs: string;
    let ours: string;

    beforeAll(async () => {
      lab = new Lab();
      version = await versionOf(reference);
      theirs = await serve(lab, reference, "r");
      ours = await serve(lab, SUBJECT, "s");
    });
    afterAll(async () => await lab.close());

    for (const one of CASES) {
      test(one.name, async () => {
        const { recorded } = one;
        const seen = await answersOf(ours, one);
        const expected = [];
        if (recorded !== undefined) expected.push(sortedAnswers(recorded));
        if (recorded === undefined || version >= recorded.since) {
          expected.push(await answersOf(theirs, one));
        }
        // The recorded answers are those of a new wireguard-go.
        expect(expected.at(-1)).toEqual(expected[0]);
        expect(seen).toEqual(
          one.ours === undefined || SUBJECT !== "wirehaul"
            ? expected[0]
            : sortedAnswers({ reply: one.ours.reply, state: one.ours.state }),
        );
      });
    }

    test("a bad line is refused before the request has ended, by both", async () => {
      for (const path of [theirs, ours]) {
        const reply = await exchange(path, ["set=1\nfwmark=1\nnonsense\n"], true);
        expect(reply).toBe("errno=-71\n\n");
      }
    });

    test("the cases do tell good from bad", async () => {
      const replies: string[] = [];
      for (const { pieces } of CASES) {
        await exchange(theirs, [RESET]);
        replies.push(await exchange(theirs, pieces));
      }
      for (const errno of [0, -5, -22, -71]) {
        const ending = `errno=${errno}\n\n`;
        expect(replies.filter((reply) => reply.endsWith(ending)).length).toBeGreaterThan(1);
      }
      expect(replies.filter((reply) => reply === "").length).toBeGreaterThan(1);
    });
  });
}

const hex = (base64: string): string => Buffer.from(base64, "base64").toString("hex");
const newPeer = (): string => `public_key=${hex(generateKeys().publicKey)}\n`;
const LONG_LINE = `endpoint=${"x".repeat(70_000)}\n`;

/**
 * Endings of a set whose last peer got an endpoint and its first keepalive interval, and whether that peer is then spoken to:
 * after a bad line of its own it is not, since its settings are not complete; after the end of the stream, however it came, and
 * after the next `public_key` line, good or bad, it is (wireguard-go, device/uapi.go: where handlePostConfig is called).
 */
const endings: Readonly<Record<string, { readonly text: string; readonly isSpokenTo: boolean }>> = {
  "an empty line": { text: "\n", isSpokenTo: true },
  "the end of the stream": { text: "", isSpokenTo: true },
  "the end of the stream within a line": { text: "allowed_ip=10.0.0.0/8", isSpokenTo: true },
  "a line that is too long": { text: LONG_LINE, isSpokenTo: true },
  "another peer": { text: `${newPeer()}\n`, isSpokenTo: true },
  "another peer with a bad line": { text: `${newPeer()}allowed_ip=x\n\n`, isSpokenTo: true },
  "a bad public key": { text: "public_key=x\n\n", isSpokenTo: true },
  "a line without =": { text: "nonsense\n\n", isSpokenTo: false },
  "a bad value": { text: "allowed_ip=10.0.0.0/33\n\n", isSpokenTo: false },
  "an unknown name": { text: "mtu=1420\n\n", isSpokenTo: false },
};

describe("which sets make a peer be spoken to at once", () => {
  for (const implementation of [...new Set([...references, SUBJECT])]) {
    labTest(implementation, async (lab) => {
      const namespace = await lab.namespace("n");
      const node = await WireguardNode.start(lab, { implementation, namespace, label: "w" });
      await node.configure([]);
      await node.up(["10.77.0.1/24"]);
      const capture = await Capture.start(lab, namespace, "lo");
      /** Each peer has a port of its own on the loopback interface, where nobody listens. */
      const peer = (port: number): string =>
        `${newPeer()}endpoint=127.0.0.1:${port}\npersistent_keepalive_interval=60\n`;
      const isSpokenTo = (port: number): boolean =>
        capture.datagrams().some(({ targetPort }) => targetPort === port);
      const seen: Record<string, boolean> = {};
      let port = 2000;
      for (const [name, { text }] of Object.entries(endings)) {
        port += 2;
        const at = port;
        await exchange(socketPath(node.name), [`set=1\n${peer(at)}${text}`]);
        // Messages go out in order: once this one's is seen, the other will not come any more.
        await exchange(socketPath(node.name), [`set=1\n${peer(at + 1)}\n`]);
        await until(`an initiation to port ${at + 1}`, () => isSpokenTo(at + 1));
        seen[name] = isSpokenTo(at);
      }
      await capture.stop();
      const expected = Object.entries(endings).map(([name, ending]) => [name, ending.isSpokenTo]);
      expect(seen).toEqual(Object.fromEntries(expected));
    });
  }
});
