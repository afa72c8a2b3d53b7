/** The machine's uplink: one NIC on the uplink bridge, and the bridge's addresses. Which NIC it is, `boot.ts` decides. */
import { writeFileSync } from "node:fs";
import type { Clock } from "../../linux/clock.ts";
import { ipBatch } from "../../linux/ip.ts";
import { readNics } from "../../linux/nics.ts";
import type { Lease } from "../../linux/udhcpc.ts";
import { findNic, type Nic } from "../../model/nic.ts";
import { Addressing, AUTOMATIC, isStatic, type StaticSettings } from "./addressing.ts";
import { attachNic, findBridge, forgetNetwork, OwnMtus, releaseNic } from "./bridge.ts";
import { isMatch, type NicMatch } from "./candidates.ts";

/** What the operator or the farm's admin decided about the uplink; phase two's role "management". */
export interface UplinkSettings {
  /** Name or MAC address; undefined: the best one. */
  readonly chosen?: string | undefined;
  /** Where to go back to when nothing is chosen: only at a change, and only if it leads somewhere. */
  readonly prefer?: string | undefined;
  /** For the chosen NIC; any other gets its addresses by itself. */
  readonly addressing: StaticSettings;
  readonly mtu?: number | undefined;
  /** NICs by name that have another role, and which. */
  readonly reserved: ReadonlyMap<string, string>;
}

export const ANY_UPLINK: UplinkSettings = { addressing: AUTOMATIC, reserved: new Map() };

/** What the uplink is like now. */
export interface UplinkFacts {
  readonly nic: string;
  readonly bridge: string;
  readonly carrier: boolean;
  readonly speedMbps?: number | undefined;
  readonly mtu: number;
  readonly addresses: readonly string[];
  readonly gateway4?: string | undefined;
  readonly gateway6?: string | undefined;
  readonly dns: readonly string[];
  /** "static" or "automatic". */
  readonly addressing: string;
  readonly isServerAway: boolean;
}

export interface UplinkOptions {
  readonly bridge: string;
  readonly match: NicMatch;
  readonly hook: string;
  readonly clock: Clock;
  readonly log: (text: string) => void;
  readonly onChange: () => void;
  /** File that gets the name servers; undefined: none does. */
  readonly resolvConf?: string | undefined;
}

export class Uplink {
  readonly #options: UplinkOptions;
  readonly #addressing: Addressing;
  readonly #mtus = new OwnMtus();
  #nic: string | undefined;
  #settings: UplinkSettings = ANY_UPLINK;
  #hadCarrier = true;
  #resolv = "";
  #nics: readonly Nic[] = [];

  constructor(options: UplinkOptions) {
    this.#options = options;
    this.#addressing = new Addressing({ ...options, link: options.bridge });
  }

  /** Undefined: none yet. */
  get nic(): string | undefined {
    return this.#nic;
  }

  /** The machine's links as last looked at. */
  get nics(): readonly Nic[] {
    return this.#nics;
  }

  /** After a restart: goes on with the bridge that is there. False: there is none with a NIC. Rejects if the name is another's. */
  async adopt(settings: UplinkSettings): Promise<boolean> {
    const { bridge, match } = this.#options;
    if ((await findBridge(bridge, "uplink")) === undefined) return false;
    const nics = await readNics();
    const port = nics.find((nic) => nic.bridge === bridge && isMatch(match, nic) && !nic.mark);
    if (port === undefined) return false;
    await this.attach(port.name, settings);
    return true;
  }

  /** Puts a NIC on the bridge, in the place of the one before. */
  async attach(nic: string, settings: UplinkSettings, lease?: Lease): Promise<void> {
    const { bridge } = this.#options;
    const before = this.#nic;
    if (before !== undefined && before !== nic) {
      await this.#addressing.reset();
      await releaseNic(before, this.#mtus);
      await forgetNetwork(bridge);
    }
    this.#nic = nic;
    this.#settings = settings;
    this.#hadCarrier = true;
    const isChosen = await this.#isChosen(nic);
    const mtu = isChosen ? settings.mtu : undefined;
    await attachNic({ name: bridge, nic, use: "uplink", mtu }, this.#mtus);
    await this.#addressing.apply(isChosen ? settings.addressing : AUTOMATIC, lease);
    this.#writeResolv();
  }

  /** New settings for the NIC that it has. */
  async change(settings: UplinkSettings): Promise<void> {
    if (this.#nic !== undefined) await this.attach(this.#nic, settings);
  }

  /** Looks at it, and puts right what is wrong; undefined: the NIC has gone. */
  async tend(): Promise<UplinkFacts | undefined> {
    const { bridge } = this.#options;
    const nic = this.#nic;
    if (nic === undefined) return undefined;
    const nics = await readNics();
    this.#nics = nics;
    const link = nics.find(({ name }) => name === nic);
    if (link === undefined) {
      this.#nic = undefined;
      await this.#addressing.reset();
      await forgetNetwork(bridge).catch(() => undefined);
      return undefined;
    }
    if (link.bridge !== bridge || !link.up || !nics.some(({ name }) => name === bridge)) {
      this.#options.log(`${nic} is not on ${bridge} any more; putting it back`);
      await this.attach(nic, this.#settings);
      return await this.tend();
    }
    if (link.carrier && !this.#hadCarrier) {
      this.#options.log(`${nic} has its carrier back`);
      this.#addressing.renew();
    }
    if (!link.carrier && this.#hadCarrier) this.#options.log(`${nic} has lost its carrier`);
    this.#hadCarrier = link.carrier;
    await this.#addressing.settle();
    this.#writeResolv();
    return this.#facts(
      link,
      nics.find(({ name }) => name === bridge),
    );
  }

  get dns(): readonly string[] {
    return this.#addressing.dns;
  }

  /** Ends what runs; addresses stay, so that a restart of the agent cuts nothing. */
  async stop(): Promise<void> {
    await this.#addressing.stop();
  }

  async #facts(link: Nic, bridge: Nic | undefined): Promise<UplinkFacts> {
    const wanted = Math.min(link.mtu, this.#addressing.lease?.mtu ?? link.mtu);
    if (bridge !== undefined && bridge.mtu !== wanted) {
      await ipBatch([`link set dev ${bridge.name} mtu ${wanted}`]);
    }
    const gateways = bridge?.gateways ?? [];
    const { lease } = this.#addressing;
    return {
      nic: link.name,
      bridge: this.#options.bridge,
      carrier: link.carrier,
      speedMbps: link.speedMbps,
      mtu: wanted,
      addresses: (bridge?.addresses ?? []).filter((address) => !/^fe[89ab]/.test(address)),
      gateway4: gateways.find((gateway) => !gateway.includes(":")),
      gateway6: gateways.find((gateway) => gateway.includes(":")),
      dns: this.#addressing.dns,
      addressing:
        isStatic(this.#settings.addressing) && lease === undefined ? "static" : "automatic",
      isServerAway: this.#addressing.isServerAway,
    };
  }

  async #isChosen(nic: string): Promise<boolean> {
    const { chosen } = this.#settings;
    return chosen !== undefined && findNic(await readNics(), chosen)?.name === nic;
  }

  #writeResolv(): void {
    const { resolvConf, log } = this.#options;
    const text = this.dns.map((server) => `nameserver ${server}\n`).join("");
    if (resolvConf === undefined || text === "" || text === this.#resolv) return;
    try {
      writeFileSync(
        resolvConf,
        `# Made by Wirehaul from what the uplink's network names.\n${text}`,
      );
      this.#resolv = text;
    } catch (error) {
      log(`${resolvConf} can't be written: ${(error as Error).message}`);
    }
  }
}
