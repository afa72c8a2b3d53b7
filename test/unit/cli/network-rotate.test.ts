/** Waiting for a rotation: what is said on the way, a registry that is away meanwhile, another rotation in its place. */
import { expect, test } from "vitest";
import { rotationLines, untilOver } from "../../../src/cli/network/rotate.ts";
import { RegistryFault, type RotationView } from "../../../src/control/registry/client.ts";

const T0 = new Date("2026-01-02T03:04:05Z");
const MAKING: RotationView = {
  ...{ network: "x", node: "id-a", phase: "making", isKey: true, publicKey: null, port: 7 },
  ...{ waitsFor: [], seenBy: [], reason: "", started: T0, deadline: T0, clients: ["laptop"] },
};
const names = new Map([["id-a", "a"]]);

/** What is answered, one after the other. */
async function wait(...answers: readonly (RotationView | Error)[]): Promise<readonly string[]> {
  const said: string[] = [];
  const left = [...answers];
  const rotation = async (): Promise<RotationView> => {
    const answer = left.shift();
    if (answer === undefined) throw new Error("asked once too often");
    if (answer instanceof Error) throw answer;
    return answer;
  };
  const options = { names, say: (text: string) => said.push(text), pause: async () => undefined };
  const { phase } = await untilOver({ rotation }, MAKING, options);
  return [...said, `=> ${phase}`];
}

test("each step is said once, and a registry that is away is asked again", async () => {
  const spreading = { ...MAKING, phase: "spreading" as const, waitsFor: ["id-a", "id-b"] };
  const away = new RegistryFault("unreachable", "nobody there");
  expect(
    await wait(MAKING, spreading, away, away, spreading, { ...MAKING, phase: "undone" }),
  ).toEqual([
    "making: the node makes the key and looks whether the port is free",
    "spreading: not confirmed yet by a, id-b",
    "nobody there; it is asked again",
    "undone",
    "=> undone",
  ]);
  await expect(wait(new RegistryFault("missing", "gone"))).rejects.toThrow("gone");
  const later = new Date(T0.getTime() + 1_000);
  await expect(wait({ ...MAKING, started: later })).rejects.toThrow(/another rotation/);
});

test("a rotation is shown with how it ended, or with what it waits for", () => {
  expect(rotationLines(MAKING, names)).toEqual([
    "node a in network x: key not made yet, port 7: making",
    "  making: the node makes the key and looks whether the port is free; until 2026-01-02T03:04:05.000Z",
    "  clients that come in there need a new file: laptop",
  ]);
  const undone = { ...MAKING, phase: "undone" as const, reason: "its owner has ended it" };
  expect(rotationLines(undone, names)).toEqual([
    "node a in network x: key not made yet, port 7: undone: its owner has ended it",
  ]);
});
