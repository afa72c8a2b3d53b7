/** Keys that a user brings for nodes of a grid: what has no command, and is asked of the registry by a program at its machine. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { GridLab } from "../../../src/cli/demo/grid-lab.ts";
import { registryUrl } from "../../../src/cli/demo/grid-sites.ts";
import { ROOT } from "../../../src/cli/demo/implementations.ts";

const CLIENT = pathToFileURL(join(ROOT, "dist/src/control/registry/client.js")).href;
const BRING = `
import { readFileSync } from "node:fs";
import { Identity, RegistryClient, sealKey } from ${JSON.stringify(CLIENT)};
const { network, node, sealedFor, privateKey, url, pem } = JSON.parse(readFileSync(0, "utf8"));
const client = new RegistryClient({ url, identity: Identity.parse(pem) });
const { box } = sealKey(privateKey, { network, node: sealedFor });
const { publicKey } = sealKey(privateKey, { network, node });
await client.bringKey(network, node, { publicKey, box });`;

export interface BroughtKey {
  readonly network: string;
  readonly node: string;
  readonly privateKey: string;
  /** The node that can open the box, the same unless told. */
  readonly sealedFor?: string;
}

/** Seals the key and brings it as the grid's admin. The registry speaks without TLS. */
export async function bringKey(grid: GridLab, key: BroughtKey): Promise<void> {
  const url = registryUrl({ hasV4: true });
  const pem = readFileSync(grid.admin.keyFile, "utf8");
  const input = JSON.stringify({ sealedFor: key.node, ...key, url, pem });
  const command = [process.execPath, "--input-type=module", "-e", BRING];
  await grid.sites.registry.exec(command, undefined, { input });
}
