/** What a node does about rotations, from tasks and from what it has. */
import { describe, expect, it } from "vitest";
import {
  confirmations,
  type Own,
  type OwnStep,
  ownStep,
  portNow,
  type WatchTask,
  withRoutesMoved,
} from "../../../../../src/control/node/grid/rotation.ts";
import type { RotationTask } from "../../../../../src/control/registry/client.ts";

const OWN: Own = { publicKey: "old", resource: { listenPort: 2_000 } };
const KEPT: Own = { ...OWN, next: { publicKey: "new", listenPort: 3_000 } };
const USED: Own = { publicKey: "new", resource: { listenPort: 3_000 } };
const SEALED = { publicKey: "brought", box: "b" };
const network = "x";
const make = (more: object = {}): RotationTask => ({ kind: "make", network, isKey: true, ...more });
const both = { network, publicKey: "new", port: 3_000 };
const lost: OwnStep = { kind: "refuse", reason: expect.stringContaining("not kept") as string };

describe("the own key and port", () => {
  it.each<readonly [string, readonly RotationTask[], Own, OwnStep | undefined]>([
    ["nothing is asked for", [], OWN, undefined],
    ["nobody asks for what is kept", [], KEPT, { kind: "forget" }],
    ["a key", [make()], OWN, { kind: "make", key: "fresh", port: undefined }],
    ["both", [make({ port: 3_000 })], OWN, { kind: "make", key: "fresh", port: 3_000 }],
    ["a port", [make({ isKey: false, port: 7 })], KEPT, { kind: "make", key: "none", port: 7 }],
    ["once more", [make({ port: 3_000 })], KEPT, { kind: "make", key: "kept", port: 3_000 }],
    [
      "a user's",
      [make({ sealedKey: SEALED })],
      KEPT,
      { kind: "make", key: SEALED, port: undefined },
    ],
    [
      "a user's that is kept already",
      [make({ sealedKey: SEALED })],
      { ...OWN, next: { publicKey: "brought" } },
      { kind: "make", key: "kept", port: undefined },
    ],
    [
      "a user's that is in use",
      [make({ sealedKey: SEALED })],
      { ...OWN, publicKey: "brought" },
      { kind: "refuse", reason: "the key that was brought is in use already" },
    ],
    ["peers learn of it", [{ kind: "keep", ...both }], KEPT, undefined],
    ["what peers learn of is lost", [{ kind: "keep", ...both }], OWN, lost],
    [
      "half of it is lost",
      [{ kind: "keep", ...both }],
      { ...OWN, next: { publicKey: "new" } },
      lost,
    ],
    ["it is in use before its time", [{ kind: "keep", ...both }], USED, undefined],
    ["now", [{ kind: "switch", ...both }], KEPT, { kind: "switch" }],
    ["now, and it was", [{ kind: "switch", ...both }], USED, { kind: "say" }],
    ["now, and it is lost", [{ kind: "switch", ...both }], OWN, lost],
    [
      "now, the port alone",
      [{ kind: "switch", network, port: 3_000 }],
      { ...OWN, next: { publicKey: undefined, listenPort: 3_000 } },
      { kind: "switch" },
    ],
    [
      "the port alone, with a key that nobody asked for",
      [{ kind: "switch", network, port: 3_000 }],
      KEPT,
      lost,
    ],
    ["others' only", [{ kind: "confirm", network, node: "n", revision: 1 }], OWN, undefined],
  ])("%s", (_name, tasks, own, step) => {
    expect(ownStep(tasks, own)).toEqual(step);
  });

  it("the second port is taken when told to switch, not when the plan has it; any other at once", () => {
    expect(portNow(3_000, undefined)).toBe(3_000);
    expect(portNow(3_000, KEPT)).toBe(2_000);
    expect(portNow(4_000, KEPT)).toBe(4_000);
    expect(portNow(2_000, USED)).toBe(2_000);
  });
});

it("others' rotations are confirmed with the revision in force, as soon as it is late enough", () => {
  const tasks: RotationTask[] = [
    { kind: "confirm", network, node: "a", revision: 5 },
    { kind: "confirm", network, node: "b", revision: 6 },
    { kind: "watch", network, node: "a", publicKey: "new" },
  ];
  expect(confirmations(tasks, 4)).toEqual([]);
  expect(confirmations(tasks, 5)).toEqual([{ node: "a", revision: 5 }]);
  expect(confirmations(tasks, 9)).toEqual([
    { node: "a", revision: 9 },
    { node: "b", revision: 9 },
  ]);
});

it("routes are on a new key that was seen, as the next plan has them, and what is the keys' stays theirs", () => {
  const old = {
    ...{ publicKey: "old", presharedKey: "p", endpoint: "192.0.2.1:1", keepalive: 25 },
    ...{ allowedIps: ["10.1.2.0/24"], subnet: "10.1.2.0/24" },
  };
  const fresh = { publicKey: "new", endpoint: "192.0.2.1:1", keepalive: 0, allowedIps: [] };
  const other = { publicKey: "other", keepalive: 0, allowedIps: ["10.1.3.0/24"] };
  const part = { peers: [other, old, fresh] };
  const seen: WatchTask = { kind: "watch", network, node: "n", publicKey: "new", oldKey: "old" };
  const { presharedKey, ...rest } = old;
  const moved = [
    other,
    { ...rest, publicKey: "new" },
    { ...fresh, publicKey: "old", presharedKey },
  ];
  expect(withRoutesMoved(part, [seen]).peers).toEqual(moved);
  expect(withRoutesMoved(part, [])).toBe(part);
  expect(withRoutesMoved(part, [{ ...seen, oldKey: undefined }])).toBe(part);
  // The plan has moved them, or has ended the old key.
  for (const peers of [moved, [other, { ...rest, publicKey: "new" }]]) {
    expect(withRoutesMoved({ peers }, [seen]).peers).toBe(peers);
  }
});
