/**
 * Makes a plan of roles true: bridges on NICs, legs in namespaces, addresses on legs. Applying again changes nothing; what is no longer
 * in the plan is taken away after the new is there. One NIC's failure doesn't stop the others.
 */
import { createHash } from "node:crypto";
import type { Clock } from "../linux/clock.ts";
import { run } from "../linux/command.ts";
import { findLink, ipBatch, listLinks, listNamespaces } from "../linux/ip.ts";
import { markOf } from "../linux/nics.ts";
import { setSysctls } from "../linux/sysctl.ts";
import { EXIT_NAMESPACE, MARK, SHARED_MARK } from "../model/names.ts";
import { OVERLAY_NAMESPACE, ROLE_LEG, type RoleLeg, type RolePlan } from "../model/role-plan.ts";
import { Addressing } from "./boot/addressing.ts";
import { attachNic, OwnMtus, releaseNic } from "./boot/bridge.ts";

export interface RolesOptions {
  readonly clock: Clock;
  readonly hook: string;
  readonly log: (text: string) => void;
  /** WireGuard's sockets belong in this namespace from now on (undefined: the host's); called before an old one goes. */
  readonly onOverlay: (namespace: string | undefined) => Promise<void>;
}

/** Mark of a namespace's loopback; the exit's is that of all who share it. */
const MARKS: Readonly<Record<string, string>> = {
  [OVERLAY_NAMESPACE]: "/overlay",
  [EXIT_NAMESPACE]: SHARED_MARK.slice(MARK.length),
};

export const NO_ROLES: RolePlan = { bridges: [], legs: [], hasExitLeg: false, publicBridges: [] };

export class Roles {
  readonly #options: RolesOptions;
  readonly #mtus = new OwnMtus();
  readonly #addressings = new Map<string, Addressing>();
  #plan: RolePlan = NO_ROLES;
  #overlay: string | undefined;

  constructor(options: RolesOptions) {
    this.#options = options;
  }

  /** What was applied last, whether or not all of it succeeded. */
  get plan(): RolePlan {
    return this.#plan;
  }

  /** Rejects with all that failed, after everything else was done. Not to be called while it runs. */
  async apply(plan: RolePlan): Promise<void> {
    this.#plan = plan;
    const faults: string[] = [];
    const attempt = async (what: string, work: () => Promise<void>): Promise<void> => {
      await work().catch((error: Error) => faults.push(`${what}: ${error.message}`));
    };
    for (const { name, nic, mtu } of plan.bridges) {
      await attempt(nic, () => attachNic({ name, nic, mtu, use: "nic-bridge" }, this.#mtus));
    }
    for (const leg of plan.legs) await attempt(leg.nic, () => this.#ensureLeg(leg));
    if (faults.length === 0 && this.#overlay !== plan.overlayNamespace) {
      await attempt("overlay", () => this.#options.onOverlay(plan.overlayNamespace));
      this.#overlay = plan.overlayNamespace;
    }
    await attempt("legs", () => this.#removeLegs(plan));
    await attempt("bridges", () => this.#removeBridges(plan));
    if (faults.length > 0) throw new Error(faults.join("; "));
  }

  /** Ends what runs; links and addresses stay. */
  async stop(): Promise<void> {
    await Promise.all([...this.#addressings.values()].map((addressing) => addressing.stop()));
  }

  async #ensureLeg(leg: RoleLeg): Promise<void> {
    const { namespace, link, bridge } = leg;
    await ensureNamespace(namespace);
    const lower = await findLink(bridge);
    if (lower === undefined) throw new Error(`there is no bridge ${bridge}`);
    const present = await findLink(link, namespace);
    const lowerName = `${MARK}leg ${bridge}`;
    if (present !== undefined && present.ifalias !== lowerName) {
      await ipBatch([`link del dev ${link}`], namespace);
    }
    if (present?.ifalias !== lowerName) {
      const mac = legMac(lower.address, namespace);
      await ipBatch([
        `link add link ${bridge} name ${link} address ${mac} netns ${namespace} type macvlan mode bridge`,
      ]);
      await ipBatch([`link set dev ${link} alias "${lowerName}"`], namespace);
    }
    await ipBatch([`link set dev ${link} mtu ${lower.mtu} up`], namespace);
    let addressing = this.#addressings.get(namespace);
    if (addressing === undefined) {
      const { clock, hook, log } = this.#options;
      addressing = new Addressing({ link, namespace, clock, hook, log, onChange: () => undefined });
      this.#addressings.set(namespace, addressing);
    }
    await addressing.apply(leg.addressing);
  }

  async #removeLegs(plan: RolePlan): Promise<void> {
    const present = await listNamespaces();
    for (const namespace of [OVERLAY_NAMESPACE, EXIT_NAMESPACE]) {
      if (plan.legs.some((leg) => leg.namespace === namespace)) continue;
      await this.#addressings.get(namespace)?.stop();
      this.#addressings.delete(namespace);
      if (!present.includes(namespace) || !(await isOurs(namespace))) continue;
      if (namespace === OVERLAY_NAMESPACE) {
        // Sockets that are still in it keep it alive without a name.
        await run(["ip", "netns", "delete", namespace]);
      } else if ((await findLink(ROLE_LEG, namespace)) !== undefined) {
        await ipBatch([`link del dev ${ROLE_LEG}`], namespace);
      }
    }
  }

  async #removeBridges(plan: RolePlan): Promise<void> {
    const links = await listLinks();
    for (const bridge of links) {
      if (markOf(bridge.ifalias) !== "nic-bridge") continue;
      const wanted = plan.bridges.find(({ name }) => name === bridge.ifname);
      for (const port of links) {
        // Ports with a mark are legs of workloads.
        if (port.master !== bridge.ifname || port.ifalias !== undefined) continue;
        if (wanted?.nic !== port.ifname) await releaseNic(port.ifname, this.#mtus);
      }
      if (wanted === undefined) await ipBatch([`link del dev ${bridge.ifname}`]);
    }
  }
}

async function isOurs(namespace: string): Promise<boolean> {
  const lo = await findLink("lo", namespace);
  return markOf(lo?.ifalias) === MARKS[namespace];
}

/** Makes the namespace with its mark; rejects if the name is another's. */
async function ensureNamespace(namespace: string): Promise<void> {
  if (!(await listNamespaces()).includes(namespace)) {
    await run(["ip", "netns", "add", namespace]);
  } else if (await isOurs(namespace)) {
    return;
  } else if ((await listLinks(namespace)).length > 1) {
    throw new Error(`a namespace ${namespace} is there that Wirehaul did not make`);
  }
  await ipBatch([`link set dev lo alias ${MARK}${MARKS[namespace]}`], namespace);
  await ipBatch(["link set dev lo up"], namespace);
  await setSysctls([["net/ipv6/conf/default/accept_ra", 0]], namespace);
}

/** The same after each start, so that leases and SLAAC addresses are: local and unicast (IEEE 802), from the bridge's own. */
export function legMac(bridgeMac: string, namespace: string): string {
  const hash = createHash("sha256").update(`${bridgeMac} ${namespace}`).digest();
  const bytes = [((hash[0] ?? 0) & 0xfc) | 0x02, ...hash.subarray(1, 6)];
  return bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}
