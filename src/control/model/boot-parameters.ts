/**
 * What a node's kernel command line says (zos's form: `farmer_id=11 runmode=prod`), for machines that boot from USB or PXE and
 * have no settings of their own yet. Pure.
 */

export interface BootParameters {
  readonly farm?: number | undefined;
  /** "prod", "test", "dev" ... */
  readonly mode?: string | undefined;
  /** Where the registry is: `wirehaul.registry=`, or zos's `bcdb=`. */
  readonly registry?: string | undefined;
  /** NIC for the uplink, by name or MAC address: `wirehaul.uplink=`. */
  readonly uplink?: string | undefined;
  /** Parameters that look like ours and aren't understood, with the reason. */
  readonly faults: readonly string[];
}

const OWN = "wirehaul.";

/** Parses the text of /proc/cmdline. What is wrong is left out and said in `faults`; the last of equals counts. */
export function parseBootParameters(text: string): BootParameters {
  const faults: string[] = [];
  let farm: number | undefined;
  let mode: string | undefined;
  let registry: string | undefined;
  let uplink: string | undefined;
  for (const word of text.trim().split(/\s+/)) {
    const equals = word.indexOf("=");
    const name = equals < 0 ? word : word.slice(0, equals);
    const value = equals < 0 ? "" : word.slice(equals + 1).replace(/^"(.*)"$/, "$1");
    if (name === "farmer_id" || name === `${OWN}farm`) {
      if (/^[1-9][0-9]{0,8}$/.test(value)) farm = Number(value);
      else faults.push(`${name}: "${value}" is no farm number`);
    } else if (name === "runmode") {
      mode = value;
    } else if (name === `${OWN}registry` || name === "bcdb") {
      if (URL.canParse(value) && /^https?:/.test(value)) registry = value;
      else faults.push(`${name}: "${value}" is no http or https address`);
    } else if (name === `${OWN}uplink`) {
      uplink = value;
    } else if (name.startsWith("vlan:")) {
      faults.push(`${name}: VLANs are not supported`);
    } else if (name.startsWith(OWN)) {
      faults.push(`${name}: unknown`);
    }
  }
  return { farm, mode, registry, uplink, faults };
}
