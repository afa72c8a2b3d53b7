/**
 * Floods a responder from one address with initiations that have a valid mac1 and are random otherwise:
 *
 *   node flood-child.js ADDRESS PORT PUBLIC_KEY SOURCE
 *
 * Runs in a namespace of its own until it is ended, a minute at most. Prints "flooding" when it begins.
 */
import { randomFillSync } from "node:crypto";
import { createSocket } from "node:dgram";
import { parseBase64Key } from "../src/bytes/base64.ts";
import { opensslSuite } from "../src/crypto/openssl.ts";
import { labelKey } from "../src/session/identity.ts";
import { TYPE_INITIATION } from "../src/wire/constants.ts";
import { INITIATION_BYTES, initiationLayout, MAC_BYTES } from "../src/wire/layout.ts";

/** 20,000 a second. */
const BURST = 100;
const INTERVAL_MS = 5;
const LIMIT_MS = 60_000;
/** Different ones, so that none is taken for a repetition. */
const VARIANTS = 4_000;
const SEND_BUFFER_BYTES = 4 << 20;

const [address = "", port = "", publicKeyText = "", source = ""] = process.argv.slice(2);
const publicKey = parseBase64Key(publicKeyText);
if (publicKey === undefined) throw new Error(`"${publicKeyText}" is no public key`);
const mac1Key = labelKey(opensslSuite, "mac1", publicKey);

function forge(): Uint8Array {
  const message = randomFillSync(new Uint8Array(INITIATION_BYTES));
  new DataView(message.buffer).setUint32(0, TYPE_INITIATION, true);
  const { mac1 } = initiationLayout;
  opensslSuite.mac(message.subarray(mac1, mac1 + MAC_BYTES), mac1Key, message.subarray(0, mac1));
  message.fill(0, mac1 + MAC_BYTES);
  return message;
}

const messages = Array.from({ length: VARIANTS }, forge);
const socket = createSocket("udp4");
let sent = 0;

function burst(): void {
  for (let i = 0; i < BURST; i++) {
    socket.send(messages[sent++ % VARIANTS]!, Number(port), address, () => undefined);
  }
}

socket.on("error", () => undefined);
socket.bind(0, source, () => {
  socket.setSendBufferSize(SEND_BUFFER_BYTES);
  setInterval(burst, INTERVAL_MS);
  setTimeout(() => process.exit(1), LIMIT_MS);
  process.stdout.write("flooding\n");
});
process.once("SIGTERM", () => process.exit(0));
