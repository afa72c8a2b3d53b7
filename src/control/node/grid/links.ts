/**
 * What the node reports of its peers (`PUT nodes/:id/links`): handshake, endpoint in use, whether echoes come back, how long they take, how
 * many are lost. Of each network at once when a peer turns, else at most every 30 s and only if it says something new; many peers go in
 * several requests. A registry that doesn't know the route is an older one: it is asked again rarely.
 */
import type { InterfaceStatus, PeerStatus } from "../../../lane/status.ts";
import { Bell, type Clock } from "../../linux/clock.ts";
import { type LinksReport, type PeerLink, RegistryFault } from "../../registry/client.ts";
import type { ProbeRecord } from "./probe-record.ts";
import type { GridNetwork } from "./source.ts";

export interface LinksOptions {
  readonly clock: Clock;
  readonly networks: () => readonly GridNetwork[];
  readonly statusOf: (network: string) => Promise<InterfaceStatus | undefined>;
  readonly recordOf: (network: string, publicKey: string) => ProbeRecord | undefined;
  readonly report: (report: LinksReport) => Promise<void>;
  /** Only a node that takes part reports. */
  readonly isReady: () => boolean;
  readonly log: (level: "info" | "error", text: string) => void;
}

const REPORT_MS = 30_000;
/** Ours: peers without an address are looked at so often, and what turns together goes in one report. */
const LOOK_MS = 10_000;
const TOGETHER_MS = 250;
/** Ours: an older registry is seldom replaced. */
const OLD_AGAIN_MS = 600_000;
/** Ours: what differs by little is told now and then all the same. */
const WHOLE_MS = 300_000;
/** WP 6.1, K messages.h REJECT_AFTER_TIME: of a session that lives the last handshake is not older. */
const HANDSHAKE_MS = 180_000;
/** Ours: of one request. A peer has at most 240 bytes there, and a registry takes 1 MiB (`BODY_BYTES_MAX`). */
const PEERS_AT_ONCE = 2_000;

export type NetworkLinks = LinksReport["networks"][number];

export class Links {
  readonly #options: LinksOptions;
  readonly #bell: Bell;
  readonly #abort = new AbortController();
  /** By network: what has arrived. */
  readonly #sent = new Map<string, { readonly links: NetworkLinks; readonly atMs: number }>();
  #oldUntilMs = Number.NEGATIVE_INFINITY;
  #running: Promise<void> | undefined;

  constructor(options: LinksOptions) {
    this.#options = options;
    this.#bell = new Bell(options.clock);
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    this.#bell.ring();
    await this.#running;
  }

  /** A peer has turned. */
  poke(): void {
    this.#bell.ring();
  }

  /** The registry may have lost what it was told. */
  forget(): void {
    this.#sent.clear();
    this.#oldUntilMs = Number.NEGATIVE_INFINITY;
    this.#bell.ring();
  }

  async #run(): Promise<void> {
    const { clock, log } = this.#options;
    let isFailing = false;
    while (!this.#abort.signal.aborted) {
      if (await this.#bell.wait(LOOK_MS)) await clock.wait(TOGETHER_MS, this.#abort.signal);
      if (this.#abort.signal.aborted) return;
      try {
        await this.#look();
        isFailing = false;
      } catch (error) {
        if (!isFailing) log("error", `links can't be reported: ${(error as Error).message}`);
        isFailing = true;
      }
    }
  }

  async #look(): Promise<void> {
    const { clock, isReady, report } = this.#options;
    if (!isReady() || clock.now() < this.#oldUntilMs) return;
    const fresh = await this.#measure();
    const now = clock.now();
    const due = fresh.filter((links) => {
      const before = this.#sent.get(links.network);
      return isDue(before?.links, links, now - (before?.atMs ?? Number.NEGATIVE_INFINITY));
    });
    for (const networks of inRequests([...due, ...this.#goneSince(fresh)])) {
      try {
        await report({ networks });
      } catch (error) {
        if (!(error instanceof RegistryFault) || error.code !== "no_route") throw error;
        this.#oldUntilMs = now + OLD_AGAIN_MS;
        return;
      }
      const names = new Set(fresh.map(({ network }) => network));
      for (const links of networks) {
        if (names.has(links.network)) this.#sent.set(links.network, { links, atMs: now });
        else this.#sent.delete(links.network);
      }
    }
  }

  /** Networks that are here no more have no links. */
  #goneSince(fresh: readonly NetworkLinks[]): NetworkLinks[] {
    const here = new Set(fresh.map(({ network }) => network));
    const gone = [...this.#sent.keys()].filter((network) => !here.has(network));
    return gone.map((network) => ({ network, peers: [] }));
  }

  async #measure(): Promise<NetworkLinks[]> {
    const { networks, statusOf, recordOf } = this.#options;
    const nowMs = Date.now();
    const all = networks().map(async ({ resource: { id, peers } }) => {
      const status = await statusOf(id);
      const devices = new Map(status?.peers.map((peer) => [peer.publicKey, peer]));
      return {
        network: id,
        peers: peers.map(({ publicKey }) =>
          linkOf(publicKey, devices.get(publicKey), recordOf(id, publicKey), nowMs),
        ),
      };
    });
    return await Promise.all(all);
  }
}

/** A peer that isn't probed is judged by its handshakes. `nowMs`: since 1970. */
export function linkOf(
  publicKey: string,
  device: Pick<PeerStatus, "lastHandshakeMs" | "endpoint"> | undefined,
  record: ProbeRecord | undefined,
  nowMs: number,
): PeerLink {
  const { lastHandshakeMs = 0, endpoint = null } = device ?? {};
  const ageMs = lastHandshakeMs === 0 ? undefined : Math.max(0, nowMs - lastHandshakeMs);
  return {
    publicKey,
    // Never older than it is: the registry asks whether it was after a loss.
    ...(ageMs === undefined ? {} : { handshakeAge: Math.floor(ageMs / 1000) }),
    ...(endpoint === null ? {} : { endpoint }),
    isAlive: record === undefined ? ageMs !== undefined && ageMs <= HANDSHAKE_MS : record.isAlive,
    roundTripMs: record?.roundTripMs,
    loss: record?.loss,
  };
}

/** A turn is told at once; what else differs, after half a minute; all of it now and then. */
export function isDue(
  before: NetworkLinks | undefined,
  after: NetworkLinks,
  sinceMs: number,
): boolean {
  if (before === undefined) return true;
  if (textOf(before, turnOf) !== textOf(after, turnOf)) return true;
  if (sinceMs < REPORT_MS) return false;
  return sinceMs >= WHOLE_MS || textOf(before, newsOf) !== textOf(after, newsOf);
}

/** Whole networks, as many as fit into one request; a larger one goes alone. */
function inRequests(all: readonly NetworkLinks[]): NetworkLinks[][] {
  const requests: NetworkLinks[][] = [];
  let left = 0;
  for (const links of all) {
    if (requests.length === 0 || links.peers.length > left) {
      requests.push([]);
      left = PEERS_AT_ONCE;
    }
    requests.at(-1)!.push(links);
    left -= links.peers.length;
  }
  return requests;
}

function textOf({ peers }: NetworkLinks, of: (link: PeerLink) => unknown): string {
  return JSON.stringify(peers.map(of));
}

function turnOf({ publicKey, isAlive }: PeerLink): unknown {
  return [publicKey, isAlive ?? null];
}

/** What is worth telling: not each second of age and each millisecond of noise. */
function newsOf({ endpoint, handshakeAge, roundTripMs, loss }: PeerLink): unknown {
  const isFresh = handshakeAge === undefined ? null : handshakeAge * 1000 <= HANDSHAKE_MS;
  // By a fifth: what the registry's planner would look at (src/control/mesh/settle.ts) is more.
  const trip = roundTripMs === undefined ? null : Math.round(Math.log(1 + roundTripMs) * 5);
  return [endpoint ?? null, isFresh, trip, loss === undefined ? null : Math.round(loss * 10)];
}
