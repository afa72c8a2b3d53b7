/**
 * `npm run bench -- micro`: what single steps cost, by Benchmark.js: seal and open on both transport ciphers, handshakes on both
 * suites, look-ups among allowed IPs, the replay window, the inner header, splitting and coalescing. One thread, no system calls.
 */
import { randomFillSync } from "node:crypto";
import Benchmark from "benchmark";
import { Slab, slabLayout } from "../src/bytes/slab.ts";
import { nobleSuite } from "../src/crypto/noble.ts";
import { nobleCipher } from "../src/crypto/noble-cipher.ts";
import { opensslSuite } from "../src/crypto/openssl.ts";
import type { Suite, TransportCipher } from "../src/crypto/suite.ts";
import { loadNative } from "../src/io/load-native.ts";
import { NativeCipher } from "../src/io/native-cipher.ts";
import { nativeSuite } from "../src/io/native-suite.ts";
import { AllowedIps } from "../src/route/allowed-ips.ts";
import { innerLength } from "../src/route/ip-header.ts";
import { Handshake, openInitiation } from "../src/session/handshake.ts";
import { Identity } from "../src/session/identity.ts";
import { ReplayWindow } from "../src/session/replay-window.ts";
import { writeTai64n } from "../src/session/tai64n.ts";
import {
  INITIATION_BYTES,
  RESPONSE_BYTES,
  TIMESTAMP_BYTES,
  TRANSPORT_OVERHEAD_BYTES,
} from "../src/wire/layout.ts";
import { writeTransportHeader } from "../src/wire/transport.ts";
import { offloadSteps } from "./offload-steps.ts";
import { mustBe, type Step } from "./step.ts";

/** One line of the result: operations per second, and how far off that may be. */
export interface MicroFigure {
  readonly name: string;
  readonly perSecond: number;
  /** Half the width of the 95 % confidence interval, in per cent (Benchmark.js `rme`). */
  readonly errorPercent: number;
}

const PAYLOADS = [64, 512, 1420] as const;
/** Datagrams of one call: a TCP super-packet of 64 KiB makes as many at MTU 1420. */
const BATCH = 44;
const STRIDE = 1536;
const PREFIX_COUNTS = [10, 1_000, 100_000] as const;
const LOOKUPS = 1_024;
const AF_INET = 2;
const AF_INET6 = 10;
const WALL_MS = 1_790_000_000_000;

function random(length: number): Uint8Array {
  return randomFillSync(new Uint8Array(length));
}

function transportSteps(name: string, cipher: TransportCipher, slab: Slab): Step[] {
  const key = random(32);
  const first = slabLayout.inbound.offset;
  return PAYLOADS.flatMap((payload) => {
    const length = payload + TRANSPORT_OVERHEAD_BYTES;
    for (let i = 0; i < BATCH; i++) {
      const offset = first + i * STRIDE;
      writeTransportHeader(slab.view, offset, 1, 0, i);
      slab.datagramOffset[i] = offset;
      slab.datagramLength[i] = length;
      slab.receivedOffset[i] = offset;
      slab.receivedLength[i] = length;
    }
    cipher.seal(slab, key, 0, BATCH);
    const sealed = slab.bytes.slice(first, first + BATCH * STRIDE);
    return [
      { name: `seal ${payload} bytes, ${name}`, count: BATCH, run: () => listAndSeal() },
      {
        name: `open ${payload} bytes, ${name}`,
        count: BATCH,
        run: () => {
          list();
          // Opening is in place: the sealed bytes come back first, at some 0.03 us a packet.
          slab.bytes.set(sealed, first);
          cipher.open(slab, key, 0, BATCH);
          mustBe(slab.opened[BATCH - 1] === payload, "the last datagram opens");
        },
      },
    ];

    function list(): void {
      slab.datagramLength.fill(length, 0, BATCH);
      slab.receivedLength.fill(length, 0, BATCH);
    }
    function listAndSeal(): void {
      list();
      cipher.seal(slab, key, 0, BATCH);
    }
  });
}

function timestamp(index: number): Uint8Array {
  const out = new Uint8Array(TIMESTAMP_BYTES);
  // 50 ms apart: above the rounding of timestamps and the limit of initiations.
  writeTai64n(out, WALL_MS + index * 50);
  return out;
}

function handshakeSteps(name: string, suite: Suite, prepared: number): Step[] {
  const [a, b] = [new Identity(suite, random(32)), new Identity(suite, random(32))];
  const [ephemeralA, ephemeralB] = [random(32), random(32)];
  const initiator = new Handshake(b.publicKey);
  let responder = new Handshake(a.publicKey);
  const initiations = Array.from({ length: prepared }, (_, index) => {
    const out = new Uint8Array(INITIATION_BYTES);
    initiator.createInitiation(suite, a, out, 1, ephemeralA, timestamp(index));
    return out;
  });
  const response = new Uint8Array(RESPONSE_BYTES);
  const out = new Uint8Array(INITIATION_BYTES);
  let next = 0;
  const respond = (): void => {
    if (next === prepared) {
      next = 0;
      responder = new Handshake(a.publicKey);
    }
    const message = initiations[next]!;
    const opened = openInitiation(suite, b, message);
    mustBe(
      opened !== undefined &&
        responder.consumeInitiation(suite, b, opened, message, next * 50) &&
        responder.createResponse(suite, response, 2, ephemeralB) &&
        responder.deriveKeypair(suite, 1, 0) !== undefined,
      "the responder takes the initiation",
    );
    next++;
  };
  respond();
  // The same ephemeral secrets and timestamp each time, so that the one response answers every initiation.
  const answer = response.slice();
  const initiate = (): void => {
    initiator.createInitiation(suite, a, out, 1, ephemeralA, timestamp(0));
    mustBe(
      initiator.consumeResponse(suite, a, answer) &&
        initiator.deriveKeypair(suite, 1, 0) !== undefined,
      "the initiator takes the response",
    );
  };
  return [
    { name: `handshake as initiator, ${name}`, count: 1, run: initiate },
    { name: `handshake as responder, ${name}`, count: 1, run: respond },
  ];
}

function allowedIpsSteps(): Step[] {
  return PREFIX_COUNTS.flatMap((count) => {
    const table = new AllowedIps();
    const addresses = random(count * 16);
    for (let i = 0; i < count; i++) {
      table.insert(AF_INET, addresses, i * 16, 24, i % 1_000);
      table.insert(AF_INET6, addresses, i * 16, 64, i % 1_000);
    }
    const wanted = Int32Array.from({ length: LOOKUPS }, (_, i) => ((i * 7_919) % count) * 16);
    const look = (isV4: boolean) => (): void => {
      let found = 0;
      for (let i = 0; i < LOOKUPS; i++) {
        const id = isV4
          ? table.lookup4At(addresses, wanted[i]!)
          : table.lookup6At(addresses, wanted[i]!);
        if (id >= 0) found++;
      }
      mustBe(found === LOOKUPS, "every address has an owner");
    };
    return [
      { name: `IPv4 look-up among ${count} prefixes`, count: LOOKUPS, run: look(true) },
      { name: `IPv6 look-up among ${count} prefixes`, count: LOOKUPS, run: look(false) },
    ];
  });
}

function headerSteps(): Step[] {
  const window = new ReplayWindow();
  let counter = 0;
  const packet = new Uint8Array(1_500);
  packet.set([0x45, 0, 5, 140]);
  return [
    {
      name: "replay window, in order",
      count: LOOKUPS,
      run: () => {
        let taken = 0;
        for (let i = 0; i < LOOKUPS; i++) if (window.accept(0, counter++)) taken++;
        mustBe(taken === LOOKUPS, "every counter is new");
      },
    },
    {
      name: "inner IPv4 header",
      count: LOOKUPS,
      run: () => {
        let sum = 0;
        for (let i = 0; i < LOOKUPS; i++) sum += innerLength(packet, 0, 1_424);
        mustBe(sum === LOOKUPS * 1_420, "the length is read");
      },
    },
  ];
}

/** Runs every step, each for about `seconds`; `tell` is called with each figure as it comes. */
export function measureMicro(seconds: number, tell: (figure: MicroFigure) => void): MicroFigure[] {
  const native = loadNative();
  const slab = new Slab();
  const handle = native.slabAttach(slab.buffer);
  const nativeCipher = new NativeCipher(native, slab, handle);
  const steps = (): Step[][] => [
    transportSteps("addon", nativeCipher, slab),
    transportSteps("noble", nobleCipher, slab),
    handshakeSteps("addon", nativeSuite(native), 2_000),
    handshakeSteps("node:crypto", opensslSuite, 2_000),
    handshakeSteps("noble", nobleSuite, 200),
    allowedIpsSteps(),
    headerSteps(),
    offloadSteps(native, slab, handle),
  ];
  const figures: MicroFigure[] = [];
  for (const { name, count, run } of steps().flat()) {
    const { hz, stats, error } = new Benchmark(name, run, {
      maxTime: seconds,
    }).run() as Benchmark & {
      readonly error?: Error;
    };
    if (error !== undefined) throw error;
    const figure = { name, perSecond: hz * count, errorPercent: stats.rme };
    figures.push(figure);
    tell(figure);
  }
  return figures;
}

/** "open 1420 bytes, addon      1,234,567 /s   0.81 us   +-1.2 %" */
export function formatMicro({ name, perSecond, errorPercent }: MicroFigure): string {
  const rate = Math.round(perSecond).toLocaleString("en-US").padStart(12);
  const each = (1e6 / perSecond).toFixed(3).padStart(10);
  return `${name.padEnd(36)} ${rate} /s ${each} us   +-${errorPercent.toFixed(1)} %`;
}
