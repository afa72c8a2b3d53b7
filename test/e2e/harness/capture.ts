/** UDP datagrams as they pass an interface, read by tcpdump (Ethernet, without VLAN tags, without IPv6 extension headers). */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Lab, Namespace } from "../../../src/cli/demo/lab.ts";
import { LISTEN_PORT } from "../../../src/cli/demo/pair.ts";
import { until } from "../../../src/control/linux/command.ts";

export interface Datagram {
  readonly family: 4 | 6;
  /** The whole DSCP and ECN byte of the IP header. */
  readonly trafficClass: number;
  readonly sourcePort: number;
  readonly targetPort: number;
  readonly payload: Buffer;
}

const PCAP_HEADER = 24;
const RECORD_HEADER = 16;
const ETHERNET_HEADER = 14;
const UDP_HEADER = 8;

function parseFrame(frame: Buffer): Datagram | undefined {
  const etherType = frame.readUInt16BE(12);
  const ip = frame.subarray(ETHERNET_HEADER);
  let udp: Buffer;
  let trafficClass: number;
  if (etherType === 0x0800) {
    trafficClass = ip.readUInt8(1);
    udp = ip.subarray((ip.readUInt8(0) & 15) * 4);
  } else if (etherType === 0x86dd) {
    trafficClass = (ip.readUInt16BE(0) >> 4) & 0xff;
    udp = ip.subarray(40);
  } else return undefined;
  return {
    family: etherType === 0x0800 ? 4 : 6,
    trafficClass,
    sourcePort: udp.readUInt16BE(0),
    targetPort: udp.readUInt16BE(2),
    payload: udp.subarray(UDP_HEADER, udp.readUInt16BE(4)),
  };
}

function parseFile(file: Buffer): Datagram[] {
  const found: Datagram[] = [];
  let offset = PCAP_HEADER;
  // The last record may be cut while tcpdump is writing.
  while (offset + RECORD_HEADER <= file.length) {
    const length = file.readUInt32LE(offset + 8);
    const start = offset + RECORD_HEADER;
    if (start + length > file.length) break;
    const datagram = parseFrame(file.subarray(start, start + length));
    if (datagram !== undefined) found.push(datagram);
    offset = start + length;
  }
  return found;
}

/** Has the kernel cut segmented sends before they leave by this interface, so that each datagram is captured for itself. */
export async function sendSingly(namespace: Namespace, name: string): Promise<void> {
  await namespace.ip([`link set dev ${name} gso_max_segs 1`]);
}

export class Capture {
  readonly #path: string;
  readonly #stop: () => Promise<unknown>;

  private constructor(path: string, stop: () => Promise<unknown>) {
    this.#path = path;
    this.#stop = stop;
  }

  /** Returns when the capture runs. */
  static async start(lab: Lab, namespace: Namespace, name: string): Promise<Capture> {
    const path = join(lab.folder, `${name}.pcap`);
    const command = ["tcpdump", "-Z", "root", "-n", "-U", "-i", name, "-w", path, "udp"];
    const program = namespace.spawn([...command, "--immediate-mode"]);
    await program.waitFor("listening on");
    return new Capture(path, () => program.stop());
  }

  /** What has been seen so far. */
  datagrams(): Datagram[] {
    return parseFile(readFileSync(this.#path));
  }

  /** What a node was sent at its listen port, once a handshake and more than ten datagrams are there. */
  async conversation(): Promise<Buffer[]> {
    return await until("pings and a handshake are in the capture", () => {
      const sent = this.datagrams().filter(({ targetPort }) => targetPort === LISTEN_PORT);
      const isWhole = [1, 4].every((type) => sent.some(({ payload }) => payload[0] === type));
      return isWhole && sent.length > 10 ? sent.map(({ payload }) => payload) : undefined;
    });
  }

  async stop(): Promise<Datagram[]> {
    await this.#stop();
    return this.datagrams();
  }
}
