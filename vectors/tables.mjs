/**
 * What the sets without cryptography mean, checked against the structures alone: replay window, allowed IPs, rate limit. The
 * same cases go through the whole lane in `lane/tables.mjs`.
 */
import { expect } from "./bytes.mjs";

/** Any moment: nothing may depend on where time begins. */
const START_MS = 50_000;

/** name of the set -> its check of { ReplayWindow, isRejectedCounter, AllowedIps, RateLimit, ... } */
export const tableChecks = {
  "replay-counter"(code, { steps }) {
    const window = new code.ReplayWindow();
    for (const { number, counter, accepted } of counters(steps)) {
      const hi = Number(counter >> 32n);
      const lo = Number(counter & 0xffff_ffffn);
      const taken = !code.isRejectedCounter(hi, lo) && window.accept(hi, lo);
      expect(taken, accepted, `number ${number}, counter ${counter}, accepted`);
    }
    return true;
  },

  "allowed-ips"(code, { steps }) {
    const table = new code.AllowedIps();
    const names = [];
    const idOf = (name) => names.indexOf(name);
    for (const step of steps) {
      const { number = "without number", peer } = step;
      if (peer !== "" && !names.includes(peer)) names.push(peer);
      if (step.do === "insert") {
        const { family, bytes, cidr } = code.parsePrefix(step.prefix);
        table.insert(family, bytes, 0, cidr, idOf(peer));
      } else if (step.do === "remove-peer") {
        table.removeByPeer(idOf(peer));
      } else if (step.do === "lookup") {
        const { family, bytes } = code.parseAddress(step.address);
        const id = family === 2 ? table.lookup4At(bytes, 0) : table.lookup6At(bytes, 0);
        expect(names[id] ?? "", peer, `${number}: who has ${step.address}`);
      } else {
        const listed = table
          .entries(idOf(peer))
          .map(({ family, bytes, cidr }) => code.formatPrefix(family, bytes, cidr));
        expect(listed.sort().join(), (step.prefixes ?? []).join(), `${number}: list of ${peer}`);
      }
    }
    return true;
  },

  "rate-limiter"(code, { fill, steps }) {
    const limit = new code.RateLimit();
    if (fill) {
      for (let i = 0; i <= code.SOURCES_MAX; i++) {
        const source = `10.${i >> 16}.${(i >> 8) & 0xff}.${i & 0xff}:1`;
        const allowed = limit.allow(endpointRecord(code, source), 0, START_MS);
        expect(allowed, i < code.SOURCES_MAX, `source ${i + 1} allowed`);
      }
    }
    for (const { number = "", at, source, allowed } of steps) {
      const record = endpointRecord(code, source.includes(":") ? `[${source}]:9` : `${source}:9`);
      expect(
        limit.allow(record, 0, START_MS + at),
        allowed,
        `${number} at ${at} ms: ${source} allowed`,
      );
    }
    return true;
  },
};

/** Every single counter of rows { number, first, last, accepted }, in order. */
export function* counters(rows) {
  for (const row of rows) {
    const [first, last] = [BigInt(`0x${row.first}`), BigInt(`0x${row.last}`)];
    const step = first <= last ? 1n : -1n;
    let { number } = row;
    for (let counter = first; ; counter += step) {
      yield { number, counter, accepted: row.accepted };
      if (counter === last) break;
      number++;
    }
  }
}

/** The 48-byte record of `address:port`. */
export function endpointRecord(code, endpoint) {
  const { family, bytes, port } = code.parseEndpointText(endpoint);
  const record = new Uint8Array(code.ENDPOINT_BYTES);
  const view = new DataView(record.buffer);
  view.setUint16(code.endpointLayout.family, family, true);
  view.setUint16(code.endpointLayout.port, port, true);
  record.set(bytes, code.endpointLayout.address);
  return record;
}
