/** Plans on a model of the machine: carried out they leave nothing to do, from wherever a power cut left off, and touch nobody else's. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { DesiredNetwork } from "../../src/control/model/desired-state.ts";
import { markOf, namespaceName, SHARED_MARK, tunName } from "../../src/control/model/names.ts";
import { parseNetworkResource } from "../../src/control/model/network-resource.ts";
import type { Workload } from "../../src/control/model/workload.ts";
import { networkWanted, tunnelMtu } from "../../src/control/node/blueprint.ts";
import { DEFAULT_EXIT, exitWanted, type Underlay } from "../../src/control/node/exit.ts";
import { type DevicePlan, plan } from "../../src/control/node/plan.ts";
import type { Wanted } from "../../src/control/node/wanted.ts";
import { MachineModel } from "../reference/machine-model.ts";

const ID = "aaa";
const UNDERLAY: Underlay = { mtu: 1500, lan: ["192.0.2.0/24"], device6: undefined, seed: "s" };
const KEY = "wD2HUHnLyHZGXgwo3Xk6wOxnnTAzl3F7oCmYdPJ8E1Q=";

const workloads: fc.Arbitrary<Workload[]> = fc.subarray<Workload>([
  {
    kind: "join",
    id: "one",
    namespace: "work",
    isMade: true,
    interface: "eth0",
    addresses: ["10.1.1.5"],
  },
  {
    kind: "join",
    id: "two",
    namespace: "work",
    isMade: true,
    interface: "eth1",
    addresses: ["10.1.1.6"],
  },
  { kind: "join", id: "three", namespace: "theirs", interface: "eth7", addresses: ["10.1.1.7"] },
  { kind: "tap", id: "vm" },
  {
    kind: "public",
    id: "pub",
    bridge: "br",
    namespace: "work",
    isMade: true,
    interface: "public",
    addresses: ["203.0.113.5/24"],
    gateway4: "203.0.113.1",
  },
]);

const networks: fc.Arbitrary<DesiredNetwork> = fc
  .record({
    internet: fc.boolean(),
    mtu: fc.option(fc.constantFrom(1280, 1400), { nil: undefined }),
    subnet: fc.constantFrom("10.1.1.0/24", "10.1.0.0/22"),
    subnet6: fc.option(fc.constantFrom("fd00:1:0:1::/64", "fd00:1:0:2::/64"), { nil: undefined }),
    tunnelAddresses: fc.constantFrom(["100.64.1.1/32"], ["100.64.1.2/32", "fd00:64::2/128"]),
    peers: fc.constantFrom([], [{ publicKey: KEY, allowedIps: ["10.9.0.0/16", "fd09::/64"] }]),
    workloads,
  })
  .map(({ workloads: attached, ...settings }) => ({
    resource: {
      ...parseNetworkResource({ id: ID, name: "a", owner: "1", range: "10.1.0.0/16", ...settings }),
      privateKey: KEY,
      listenPort: 3000,
    },
    exitIndex: 2,
    workloads: attached,
  }));

const NOTHING: Wanted = { mark: markOf(ID), places: [] };

function wantedOf(network: DesiredNetwork | undefined): Wanted {
  return network === undefined ? NOTHING : networkWanted(network, DEFAULT_EXIT, UNDERLAY);
}

function deviceOf(machine: MachineModel, network: DesiredNetwork | undefined): DevicePlan {
  const wanted =
    network === undefined
      ? undefined
      : { mtu: tunnelMtu(network.resource, UNDERLAY), namespace: namespaceName(ID) };
  return machine.device(tunName(ID), wanted);
}

/** A machine with things of others, and what networks share. */
function freshMachine(): MachineModel {
  const machine = new MachineModel();
  machine.addForeign(undefined, "br", "bridge");
  machine.addForeign(undefined, "eth0", "");
  machine.addForeign("theirs", "eth0", "veth");
  machine.addForeign("n-other", "x", "bridge");
  return machine;
}

function addShared(machine: MachineModel): void {
  const user = { resource: { internet: true, lan: [] as string[] }, exitIndex: 2, workloads: [] };
  const wanted = exitWanted(DEFAULT_EXIT, UNDERLAY, [user as unknown as DesiredNetwork]);
  for (const action of plan(wanted, wanted, machine.see())) machine.do(action);
  expect(plan(wanted, wanted, machine.see())).toEqual([]);
  expect(wanted.mark).toBe(SHARED_MARK);
}

/** Both, as the builder remembers them until a plan was carried out. */
function both(a: Wanted, b: Wanted): Wanted {
  return { mark: a.mark, places: [...a.places, ...b.places] };
}

function reach(
  machine: MachineModel,
  network: DesiredNetwork | undefined,
  before: Wanted,
  limit = Infinity,
): number {
  const actions = plan(wantedOf(network), before, machine.see(), deviceOf(machine, network));
  for (const action of actions.slice(0, limit)) machine.do(action);
  return actions.length;
}

describe("plan", () => {
  test("from any state to any other, then there is nothing left to do", () => {
    fc.assert(
      fc.property(
        fc.array(fc.option(networks, { nil: undefined }), { minLength: 1, maxLength: 5 }),
        (states) => {
          const machine = freshMachine();
          addShared(machine);
          let before = NOTHING;
          for (const state of states) {
            reach(machine, state, before);
            before = wantedOf(state);
            expect(plan(before, before, machine.see(), deviceOf(machine, state))).toEqual([]);
          }
        },
      ),
    );
  });

  test("cut anywhere, by a crash or a reboot, the next plan ends where it was meant to", () => {
    fc.assert(
      fc.property(networks, networks, fc.nat(80), fc.boolean(), (first, second, cut, isReboot) => {
        const machine = freshMachine();
        addShared(machine);
        reach(machine, first, NOTHING);
        reach(machine, second, wantedOf(first), cut);
        if (isReboot) {
          machine.reboot();
          machine.addForeign(undefined, "br", "bridge");
          addShared(machine);
        } else machine.crash();
        // A node that was started anew knows what the disk says and what carries its marks.
        reach(machine, second, both(wantedOf(second), wantedOf(first)));
        const wanted = wantedOf(second);
        expect(plan(wanted, wanted, machine.see(), deviceOf(machine, second))).toEqual([]);
      }),
    );
  });

  test("made, changed half-way and removed: what is left is what others made", () => {
    fc.assert(
      fc.property(networks, networks, fc.nat(80), (first, second, cut) => {
        const machine = freshMachine();
        addShared(machine);
        const before = machine.text();
        reach(machine, first, NOTHING);
        reach(machine, second, wantedOf(first), cut);
        reach(machine, undefined, both(wantedOf(first), wantedOf(second)));
        expect(machine.text()).toBe(before);
      }),
    );
  });

  test.each([
    [undefined, "b-aaa", "bridge", /the interface b-aaa exists and was not made by Wirehaul/],
    ["n-aaa", "x", "bridge", /the namespace n-aaa exists and is not this network's/],
    ["theirs", "eth7", "veth", /the interface eth7 in theirs exists/],
  ] as const)(
    "something of others in the way (%s %s) is named, and nothing is planned",
    (namespace, name, kind, message) => {
      const machine = freshMachine();
      machine.addForeign(namespace, name, kind);
      const network: DesiredNetwork = {
        resource: {
          ...parseNetworkResource({
            id: ID,
            name: "a",
            owner: "1",
            range: "10.1.0.0/16",
            subnet: "10.1.1.0/24",
          }),
          privateKey: KEY,
          listenPort: 3000,
        },
        exitIndex: 2,
        workloads: [
          {
            kind: "join",
            id: "t",
            namespace: "theirs",
            interface: "eth7",
            addresses: ["10.1.1.7"],
          },
        ],
      };
      expect(() => reach(machine, network, NOTHING)).toThrow(message);
    },
  );
});
