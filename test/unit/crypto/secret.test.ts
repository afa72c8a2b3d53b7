import { Console } from "node:console";
import { PassThrough } from "node:stream";
import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { SecretKey } from "../../../src/crypto/secret.ts";

const bytes = () => new Uint8Array(32).fill(0x5a);

describe("SecretKey", () => {
  it("copies what it is given and exposes its own live bytes", () => {
    const given = bytes();
    const secret = new SecretKey(given);
    given.fill(0);
    expect(secret.expose()).toEqual(bytes());
    expect(secret.expose()).toBe(secret.expose());
  });

  it("takes 32 bytes only", () => {
    expect(() => new SecretKey(new Uint8Array(31))).toThrow("32 bytes");
    expect(() => new SecretKey(new Uint8Array(33))).toThrow("32 bytes");
  });

  it("wipes the live bytes, and then refuses to expose zeros as a key", () => {
    const secret = new SecretKey(bytes());
    const live = secret.expose();
    expect(secret.isWiped).toBe(false);
    secret.wipe();
    secret.wipe();
    expect(secret.isWiped).toBe(true);
    expect(live).toEqual(new Uint8Array(32));
    expect(() => secret.expose()).toThrow("has not been wiped");
  });

  it("prints a placeholder wherever it is printed", () => {
    const secret = new SecretKey(bytes());
    const stream = new PassThrough();
    new Console(stream).log("%s %o %O %j", secret, secret, secret, secret, secret, { secret });
    const printed = [
      String(secret),
      `${secret}`,
      JSON.stringify({ secret }),
      inspect(secret),
      inspect({ deep: [secret] }, { showHidden: true, depth: 9 }),
      String(stream.read()),
    ];
    for (const text of printed) {
      expect(text).toContain("(secret)");
      expect(text).not.toMatch(/5a5a|90, *90|Uint8Array/);
    }
  });

  it("has nothing to enumerate or to clone", () => {
    const secret = new SecretKey(bytes());
    expect(Object.keys(secret)).toEqual([]);
    expect(Reflect.ownKeys(secret)).toEqual([]);
    expect(structuredClone(secret)).toEqual({});
  });
});
