/**
 * `wirehaul network rotate` and `rotation`: has a node use another key or port, and shows how far that is. Progress goes to standard error,
 * the end of it to standard output.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import {
  type RegistryClient,
  RegistryFault,
  type RotationView,
} from "../../control/registry/client.ts";
import { type Asking, asking, clientOf, print } from "../registry/asking.ts";
import { allOf, networkIdOf, pick } from "./names.ts";

interface Rotate extends Asking {
  readonly newKey?: true;
  readonly newPort?: true;
  readonly wait: boolean;
}

type Rotating = Pick<RegistryClient, "rotation">;

export interface WaitOptions {
  readonly pause?: ((ms: number) => Promise<unknown>) | undefined;
  /** Names of nodes by id; the id, where there is none. */
  readonly names: ReadonlyMap<string, string>;
  readonly say: (text: string) => void;
}

/** Ours: nobody sees a shorter step, and a registry answers that easily. */
const LOOK_MS = 500;
/** Ours: a registry that is away for longer is not waited for. */
const AWAY_MAX = 240;

export function addRotationCommands(network: Command): void {
  asking(
    network.command("rotate <network> <node>"),
    "has a node use another WireGuard key, another listen port, or both; its peers accept old and new meanwhile",
  )
    .option("--new-key", "the key; neither this nor --new-port: both")
    .option("--new-port", "the port")
    .option("--no-wait", "ask for it only; `wirehaul network rotation` shows how far it is")
    .action(async (text: string, nodeText: string, flags: Rotate) => {
      const { client, id, node, names } = await placeOf(flags, text, nodeText);
      const isBoth = flags.newKey === undefined && flags.newPort === undefined;
      const begun = await client.startRotation(id, node, {
        key: isBoth || flags.newKey === true,
        port: isBoth || flags.newPort === true,
      });
      if (!flags.wait) {
        print(flags, begun, rotationLines(begun, names));
        return;
      }
      const say = (line: string): void => void process.stderr.write(`${line}\n`);
      const end = await untilOver(client, begun, { names, say });
      print(flags, end, end.phase === "done" ? rotationLines(end, names) : []);
      if (end.phase === "undone") {
        throw new Error(`the rotation is undone, and the old ones stay: ${end.reason}`);
      }
    });
  asking(
    network.command("rotation <network> <node>"),
    "the last rotation of a node: how far it is, or how it ended",
  )
    .option("--end", "ends one that is under way: the old key and port stay")
    .action(async (text: string, nodeText: string, flags: Asking & { readonly end?: true }) => {
      const { client, id, node, names } = await placeOf(flags, text, nodeText);
      const found =
        flags.end === true ? await client.endRotation(id, node) : await client.rotation(id, node);
      print(flags, found, rotationLines(found, names));
    });
}

async function placeOf(
  flags: Asking,
  text: string,
  nodeText: string,
): Promise<{
  readonly client: RegistryClient;
  readonly id: string;
  readonly node: string;
  readonly names: ReadonlyMap<string, string>;
}> {
  const client = clientOf(flags);
  const nodes = await allOf((wish) => client.nodes(wish));
  const node = pick(nodes, nodeText, "node");
  const names = new Map(nodes.map(({ id, name }) => [id, name]));
  return { client, id: await networkIdOf(client, text), node, names };
}

/** Says each change until it is over; resolves with the end. Rejects if another one has taken its place, or the registry stays away. */
export async function untilOver(
  client: Rotating,
  begun: RotationView,
  { names, say, pause = sleep }: WaitOptions,
): Promise<RotationView> {
  let view = begun;
  let said = "";
  let away = 0;
  for (;;) {
    const line = progressLine(view, names);
    if (line !== said) say(line);
    said = line;
    if (view.phase === "done" || view.phase === "undone") return view;
    await pause(LOOK_MS);
    try {
      view = await client.rotation(begun.network, begun.node);
      away = 0;
    } catch (error) {
      const isAway = error instanceof RegistryFault && error.code === "unreachable";
      away += 1;
      if (!isAway || away > AWAY_MAX) throw error;
      if (away === 1) say(`${error.message}; it is asked again`);
    }
    if (`${view.started}` !== `${begun.started}`) {
      throw new Error("another rotation of this node has begun meanwhile");
    }
  }
}

function progressLine(
  { phase, waitsFor }: RotationView,
  names: ReadonlyMap<string, string>,
): string {
  switch (phase) {
    case "making":
      return "making: the node makes the key and looks whether the port is free";
    case "spreading":
      return `spreading: not confirmed yet by ${namesOf(waitsFor, names)}`;
    case "switching":
      return "switching: all peers accept both; the node is told to use the new ones";
    default:
      return phase;
  }
}

export function rotationLines(view: RotationView, names: ReadonlyMap<string, string>): string[] {
  const { network, node, phase, isKey, publicKey, port, seenBy, reason, clients, deadline } = view;
  const what = [
    ...(isKey ? [`key ${publicKey ?? "not made yet"}`] : []),
    ...(port === null ? [] : [`port ${port}`]),
  ].join(", ");
  const isOver = phase === "done" || phase === "undone";
  return [
    `node ${names.get(node) ?? node} in network ${network}: ${what}: ${phase}${reason === "" ? "" : `: ${reason}`}`,
    ...(isOver
      ? []
      : [`  ${progressLine(view, names)}; until ${new Date(deadline).toISOString()}`]),
    ...(isOver || seenBy.length === 0
      ? []
      : [`  the new key was seen by ${namesOf(seenBy, names)}`]),
    ...(clients.length === 0 || phase === "undone"
      ? []
      : [`  clients that come in there need a new file: ${clients.join(", ")}`]),
  ];
}

function namesOf(ids: readonly string[], names: ReadonlyMap<string, string>): string {
  return ids.length === 0 ? "nobody" : ids.map((id) => names.get(id) ?? id).join(", ");
}
