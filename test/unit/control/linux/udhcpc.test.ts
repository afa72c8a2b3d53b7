import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { installHook, parseHookLine } from "../../../../src/control/linux/udhcpc.ts";

const folder = mkdtempSync(join(tmpdir(), "wirehaul-hook-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Runs the real script as udhcpc does. */
function hook(event: string, environment: Readonly<Record<string, string>>): string {
  return execFileSync(installHook(folder), [event], { env: environment, encoding: "utf8" });
}

describe("hook script", () => {
  it("prints a lease that the parser takes", () => {
    const line = hook("bound", {
      ip: "10.0.0.5",
      mask: "24",
      router: "10.0.0.1 10.0.0.2",
      dns: "10.0.0.1 9.9.9.9",
      mtu: "1400",
      lease: "3600",
      serverid: "10.0.0.1",
    });
    expect(line.endsWith("}\n")).toBe(true);
    expect(parseHookLine(line)).toEqual({
      event: "bound",
      lease: {
        address: "10.0.0.5/24",
        gateway: "10.0.0.1",
        routes: [],
        dns: ["10.0.0.1", "9.9.9.9"],
        mtu: 1400,
        server: "10.0.0.1",
        seconds: 3600,
      },
    });
  });

  it("a hostile server's values are left out, and nothing of them runs", () => {
    const line = hook("bound", {
      ip: "10.0.0.5",
      mask: "24",
      router: `10.0.0.1","ip":"6.6.6.6`,
      dns: "$(touch /tmp/x) 9.9.9.9",
      lease: "`id`",
    });
    const event = parseHookLine(line);
    expect(event).toMatchObject({ event: "bound", lease: { address: "10.0.0.5/24", dns: [] } });
    expect(event).not.toHaveProperty("lease.gateway", "10.0.0.1");
    expect(line).not.toContain("6.6.6.6");
  });

  it("events without a lease, and calls that are none", () => {
    expect(parseHookLine(hook("deconfig", {}))).toEqual({ event: "deconfig" });
    expect(parseHookLine(hook("leasefail", { ip: "10.0.0.5" }))).toEqual({ event: "leasefail" });
    expect(hook("strange", {})).toBe("");
  });

  it("only we may change it", () => {
    expect(statSync(installHook(folder)).mode & 0o777).toBe(0o700);
  });
});

describe("lines", () => {
  const lease = (fields: Readonly<Record<string, string>>): unknown => {
    const event = parseHookLine(
      JSON.stringify({ event: "bound", ip: "10.0.0.5", mask: "24", ...fields }),
    );
    return event !== undefined && "lease" in event ? event.lease : undefined;
  };

  it.each([
    "",
    "{",
    `{"event":"no"}`,
    `{"event":"bound"}`,
    `{"event":"bound","ip":"10.0.0.5","mask":"33"}`,
    "null",
  ])("%s is none", (line) => expect(parseHookLine(line)).toBeUndefined());

  it("classless routes replace the router (RFC 3442)", () => {
    expect(
      lease({ router: "10.0.0.9", staticroutes: "0.0.0.0/0 10.0.0.1 10.2.0.0/16 10.0.0.2" }),
    ).toMatchObject({
      gateway: "10.0.0.1",
      routes: [{ to: "10.2.0.0/16", via: "10.0.0.2" }],
    });
    expect(lease({ router: "10.0.0.9", staticroutes: "10.2.0.0/16 10.0.0.2" })).toMatchObject({
      gateway: undefined,
    });
  });

  it("a lease for ever has no end; an MTU below IPv6's is not taken", () => {
    expect(lease({ lease: "4294967295", mtu: "576" })).toMatchObject({
      seconds: undefined,
      mtu: undefined,
    });
  });
});
