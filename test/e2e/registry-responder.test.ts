/** A registry that also tells nodes whether they can be reached. */
import { join } from "node:path";
import { expect } from "vitest";
import { realClock } from "../../src/control/linux/clock.ts";
import { attempt } from "../../src/control/linux/command.ts";
import { type Probed, probe } from "../../src/control/node/reachability/probe.ts";
import { parseResponder } from "../../src/control/node/reachability/responder-name.ts";
import { PROGRAM } from "./harness/grid.ts";
import { labTest } from "./harness/lab-test.ts";

labTest("--respond: a node asks the registry whether it can be reached", async (lab) => {
  const program = [process.execPath, PROGRAM, "registry", "run"];
  const data = ["--data", join(lab.folder, "registry")];
  for (const port of ["0", "65535", "x"]) {
    const { code, stderr } = await attempt([...program, ...data, "--respond", port]);
    expect([code, stderr]).toEqual([1, expect.stringContaining(`--respond: "${port}" is none of`)]);
  }
  const [internet, home] = [await lab.namespace("net"), await lab.namespace("home")];
  await lab.cable(
    { namespace: internet, name: "home", addresses: ["10.3.0.1/24", "2001:db8:3::1/64"] },
    { namespace: home, name: "net", addresses: ["10.3.0.2/24", "2001:db8:3::2/64"] },
  );
  const registry = internet.spawn([
    ...[...program, ...data],
    ...["--listen", "10.3.0.1:8480", "--respond", "3479"],
  ]);
  await registry.waitFor("serving http", 60_000);
  const ask = async (family: 4 | 6, address: string): Promise<Probed> =>
    await probe({
      ...{ clock: realClock, family, namespace: home.name, portRange: [1_024, 3_999] },
      ...{ responders: [parseResponder(`${address}:3479`)], signal: new AbortController().signal },
    });
  expect(await ask(4, "10.3.0.1")).toMatchObject({ verdict: "public" });
  expect(await ask(6, "[2001:db8:3::1]")).toMatchObject({ verdict: "public" });
  await home.exec(["nft", "-f", "-"], {
    input: `table inet f { chain i { type filter hook input priority 0;
      ct state established,related accept; icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept; drop; }; }`,
  });
  expect(await ask(4, "10.3.0.1")).toMatchObject({ verdict: "hidden" });
  expect(await ask(6, "[2001:db8:3::1]")).toMatchObject({ verdict: "hidden" });
});
