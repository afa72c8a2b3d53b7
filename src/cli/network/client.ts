/**
 * `wirehaul network client add`: a machine outside the grid. Its private key is made here, and goes nowhere but into the `wg-quick` file and the
 * QR code, which are that file.
 */
import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import encodeQR from "qr";
import { type ClientFile, clientFile, wgQuickText } from "../../control/mesh/client-file.ts";
import type { Member } from "../../control/mesh/grid.ts";
import { RefusedError } from "../../control/model/problem.ts";
import type { NetworkDetails, NodeDetails, RegistryClient } from "../../control/registry/client.ts";
import { generateKeys } from "../demo/keys.ts";
import { networkIdOf, nodeIdsOf } from "./names.ts";

export interface AddClient {
  readonly access: string;
  readonly output?: string | undefined;
  /** Undefined: on a terminal. */
  readonly qr?: boolean | undefined;
  readonly json?: true;
}

/** The file goes to standard output or `output`, the QR code to standard error, so that the output stays a file. */
export async function addClient(
  client: RegistryClient,
  networkText: string,
  name: string,
  wish: AddClient & { readonly expected: number | undefined },
): Promise<void> {
  const id = await networkIdOf(client, networkText);
  const [access = ""] = await nodeIdsOf(client, [wish.access]);
  const node = await client.node(access);
  // Whatever stands in the way is said before anything is made.
  fileOf(await client.network(id), node, name, []);
  const { output } = wish;
  const fd = output === undefined ? undefined : openSync(output, "wx", 0o600);
  try {
    const { privateKey, publicKey } = generateKeys();
    const revision = wish.expected === undefined ? {} : { revision: wish.expected };
    const changed = await client.addClient(id, { name, publicKey, access, ...revision });
    const made = changed.clients.find((one) => one.name === name);
    if (made === undefined) throw new Error("the registry's answer has no such client");
    const text = wgQuickText(fileOf(changed, node, name, [made.address, made.address6]), {
      privateKey,
    });
    if (fd !== undefined) writeSync(fd, text);
    else {
      const answer = JSON.stringify({ client: made, file: text }, null, 2);
      process.stdout.write(wish.json === true ? `${answer}\n` : text);
    }
    if (wish.qr ?? process.stderr.isTTY) process.stderr.write(qrText(text));
  } catch (error) {
    if (output !== undefined) rmSync(output, { force: true });
    throw error;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

function fileOf(
  { range, range6, id, members }: NetworkDetails,
  { id: access, name: accessName, reachability }: NodeDetails,
  name: string,
  addresses: readonly string[],
): ClientFile {
  const member = members.find((one) => one.node === access);
  if (member !== undefined && (member.publicKey === null || member.port === null)) {
    throw new RefusedError(
      "conflict",
      `node ${accessName} has not taken part in the network yet: try again when it has, or name another`,
    );
  }
  const none = { kind: "none" } as const;
  const { v4 = none, v6 = none } = reachability ?? {};
  const relay = { isAllowed: true, health: "up", load: 0 } as const;
  const located = { id: access, v4, v6, lan: [], relay };
  const planned: Member[] = member === undefined ? [] : [plannedOf(member)];
  return clientFile(
    { id, range, range6, members: planned, clients: [] },
    { id: name, publicKey: "", addresses, access },
    { nodes: new Map([[access, located]]), links: new Map() },
  );
}

function plannedOf({ node, publicKey, port, subnet }: NetworkDetails["members"][number]): Member {
  return {
    ...{ node, publicKey: publicKey ?? "", listenPort: port ?? 0 },
    ...{ subnet, tunnelAddresses: [] },
  };
}

/** Two rows of modules in a line of text, dark on light by the code's own border. */
export function qrText(text: string): string {
  return `${encodeQR(text, "ascii", { ecc: "low" })}\n`;
}
