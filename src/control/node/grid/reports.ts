/**
 * What the node tells the registry of itself: NICs, ports that can't be leased, whether it can be reached. Each part is sent when it differs
 * from what has arrived. What is sent of reachability is what was measured (docs/networkd.md, item 30), never what addresses look like.
 */
import { addressOfEndpoint } from "../../model/endpoint.ts";
import type { Nic } from "../../model/nic.ts";
import type { RegistryClient } from "../../registry/client.ts";
import type { Reachability, Standing } from "../../registry/schemas.ts";

/** Of one family, as measured; see `model/reachability.ts`. */
export interface Measured {
  readonly verdict: "public" | "hidden" | "unknown";
  readonly address: string | null;
  /** The address that others see, with a port. */
  readonly seen: string | null;
}

export interface Report {
  readonly nics: readonly Nic[];
  /** Null: nobody is asked. */
  readonly reachability: Readonly<Record<"ipv4" | "ipv6", Measured>> | null;
  /** Ports in use, leased here or reserved. */
  readonly ports: readonly number[];
  readonly relay: { readonly isAllowed: boolean; readonly load: number };
}

type Reporter = Pick<RegistryClient, "reportCensus" | "reportPorts" | "reportReachability">;

export class Reports {
  readonly #client: Reporter;
  readonly #arrived = new Map<string, string>();

  constructor(client: Reporter) {
    this.#client = client;
  }

  /** Sends what differs; rejects with what the registry did not take, and sends that again the next time. */
  async send(report: Report): Promise<void> {
    // The census first: without it the registry would give out what overlaps our own networks.
    await this.#once("census", report.nics, (nics) => this.#client.reportCensus(nics));
    await this.#once("ports", [...report.ports].sort(ascending), (ports) =>
      this.#client.reportPorts(ports),
    );
    await this.#once("reachability", reachabilityOf(report), (reachability) =>
      this.#client.reportReachability(reachability),
    );
  }

  /** The registry may have lost what has arrived. */
  forget(): void {
    this.#arrived.clear();
  }

  async #once<Part>(
    name: string,
    part: Part,
    send: (part: Part) => Promise<unknown>,
  ): Promise<void> {
    const text = JSON.stringify(part);
    if (this.#arrived.get(name) === text) return;
    await send(part);
    this.#arrived.set(name, text);
  }
}

/** As the planner has it. */
export function reachabilityOf({
  nics,
  reachability,
  relay,
}: Pick<Report, "nics" | "reachability" | "relay">): Reachability {
  const v4 = standingOf(reachability?.ipv4, hasFamily(nics, 4));
  const v6 = standingOf(reachability?.ipv6, hasFamily(nics, 6));
  const isPublic = v4.kind === "public" || v6.kind === "public";
  return {
    v4,
    v6,
    // Its health is for others to say: the registry doesn't go by a relay's own word.
    relay: { isAllowed: relay.isAllowed && isPublic, health: "up", load: relay.load },
    links: [],
  };
}

function standingOf(measured: Measured | undefined, hasWay: boolean): Standing {
  if (measured?.verdict === "public" && measured.address !== null) {
    return { kind: "public", addresses: [measured.address] };
  }
  // Not measured, or nobody gets in: it can begin, and whether that works its probes show.
  if (measured?.verdict !== "hidden" && !hasWay) return { kind: "none" };
  const seen = measured?.seen ?? undefined;
  return { kind: "hidden", ...(seen === undefined ? {} : { seenAs: addressOfEndpoint(seen) }) };
}

/** Whether packets of a family get out at all: by a gateway, or in the LAN. */
function hasFamily(nics: readonly Nic[], family: 4 | 6): boolean {
  return nics.some(
    ({ up, addresses }) =>
      up &&
      addresses.some((address) => address.includes(":") === (family === 6) && !isLocal(address)),
  );
}

/** RFC 4291 2.5.6: of one link only. */
function isLocal(address: string): boolean {
  return /^fe[89ab]/i.test(address);
}

function ascending(a: number, b: number): number {
  return a - b;
}

/** Share of the processors that is in use, in quarters: a relay's load that changes is planned with anew. */
export function loadShare(loadAverage: number, processors: number): number {
  return Math.min(1, Math.floor((loadAverage / Math.max(1, processors)) * 4) / 4);
}
