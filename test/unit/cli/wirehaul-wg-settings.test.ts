import { describe, expect, it } from "vitest";
import {
  cryptoBackend,
  descriptor,
  descriptors,
  laneNice,
  lanesOption,
  parseArguments,
} from "../../../src/cli/wirehaul-wg-settings.ts";

describe("arguments of wirehaul-wg", () => {
  it("are a name after options", () => {
    expect(parseArguments(["-f", "--crypto=noble", "--lanes", "2", "wg0"])).toEqual({
      name: "wg0",
      isForeground: true,
      crypto: "noble",
      lanes: "2",
    });
    expect(parseArguments(["--lanes=auto", "wg0"])?.lanes).toBe("auto");
  });

  it.each([[[]], [["-f"]], [["--what", "wg0"]], [["wg1", "wg0"]]])(
    "%j asks for the usage",
    (args) => {
      expect(parseArguments(args)).toBeUndefined();
    },
  );
});

describe("the environment of wirehaul-wg", () => {
  it("holds descriptors", () => {
    expect(descriptor({ FD: "3" }, "FD")).toBe(3);
    expect(descriptor({ FD: "" }, "FD")).toBeUndefined();
    expect(descriptor({}, "FD")).toBeUndefined();
    expect(descriptors({ FDS: "6,7" }, "FDS")).toEqual([6, 7]);
    expect(descriptors({}, "FDS")).toEqual([]);
  });

  it.each(["3x", "-1", "1e3", " 3", "9999999999"])("refuses %j as a descriptor", (text) => {
    expect(() => descriptor({ FD: text }, "FD")).toThrow(`FD must be a file descriptor's number`);
    // It was taken for NaN, and failed far from here.
    expect(() => descriptors({ FDS: `6,${text}` }, "FDS")).toThrow("FDS must be a file descriptor");
  });

  it("says how far lanes are ahead of other programs", () => {
    expect(laneNice({})).toBe(0);
    expect(laneNice({ WIREHAUL_LANE_NICE: "-20" })).toBe(-20);
    expect(laneNice({ WIREHAUL_LANE_NICE: "0" })).toBe(0);
    for (const bad of ["", "-21", "20", "1.5", "x", "-"]) {
      expect(() => laneNice({ WIREHAUL_LANE_NICE: bad })).toThrow(
        "WIREHAUL_LANE_NICE must be a whole number from -20 to 19",
      );
    }
  });

  it("names a backend and a number of lanes", () => {
    expect(cryptoBackend({})).toBe("openssl");
    expect(cryptoBackend({ WIREHAUL_CRYPTO: "noble" })).toBe("noble");
    expect(() => cryptoBackend({ WIREHAUL_CRYPTO: "" })).toThrow("--crypto or WIREHAUL_CRYPTO");
    expect(lanesOption({ WIREHAUL_LANES: "auto" })).toBe("auto");
    expect(() => lanesOption({ WIREHAUL_LANES: "65" })).toThrow("--lanes or WIREHAUL_LANES");
  });
});
