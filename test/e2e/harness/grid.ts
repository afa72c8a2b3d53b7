/** A registry as it runs (`wirehaul registry run`), and who asks it: an admin, farms, nodes. */
import { request } from "node:http";
import { join } from "node:path";
import { ROOT } from "../../../src/cli/demo/implementations.ts";
import type { Lab } from "../../../src/cli/demo/lab.ts";
import type { Background } from "../../../src/control/linux/command.ts";
import { Identity, RegistryClient } from "../../../src/control/registry/client.ts";
import type { DatabasePlace } from "../../../src/control/registry/store/open.ts";

export const PROGRAM: string = join(ROOT, "bin", "wirehaul");

export function placeFlags({ data, database }: DatabasePlace): string[] {
  return data === undefined ? ["--database", database ?? ""] : ["--data", data];
}

export class Grid {
  readonly place: DatabasePlace;
  readonly admin: Identity;
  readonly #lab: Lab;
  /** Of registries that are started from now on. */
  environment: Readonly<Record<string, string>> = {};
  readonly #identities = new Map<string, Identity>();
  #count = 0;

  constructor(lab: Lab, place: DatabasePlace, admin: Identity = Identity.generate()) {
    this.#lab = lab;
    this.admin = admin;
    this.place = place;
  }

  /** `port` 0: any. */
  async start(
    port = 0,
    ...flags: readonly string[]
  ): Promise<{ url: string; process: Background }> {
    const command = [
      ...[globalThis.process.execPath, PROGRAM, "registry", "run", ...placeFlags(this.place)],
      ...["--listen", `127.0.0.1:${port}`, "--admin", `root=${this.admin.keyId}`, ...flags],
    ];
    const process = this.#lab.spawn(command, this.environment);
    await process.waitFor("serving http", 60_000);
    const [, url = ""] = /serving (https?:[^"]+)"/.exec(process.output) ?? [];
    return { url, process };
  }

  client(url: string, identity: Identity = this.admin): RegistryClient {
    this.#identities.set(identity.keyId, identity);
    return new RegistryClient({ url, identity });
  }

  identityOf({ keyId }: RegistryClient): Identity {
    const identity = this.#identities.get(keyId);
    if (identity === undefined) throw new Error(`${keyId} is no client of this grid`);
    return identity;
  }

  #name(kind: string): string {
    this.#count += 1;
    return `${kind} ${this.#count}`;
  }

  /** A new farm's id. */
  async farm(url: string): Promise<number> {
    return (await this.client(url).addFarm({ name: this.#name("farm") })).id;
  }

  /** A node that has joined by a token. */
  async node(url: string, farm: number): Promise<RegistryClient> {
    const name = this.#name("node");
    const { token } = await this.client(url).addToken(farm, 600);
    const node = this.client(url, Identity.generate());
    await node.register({ farm, name, token });
    return node;
  }

  /** A user who is neither admin nor farmer. */
  async user(url: string): Promise<RegistryClient> {
    const name = this.#name("user");
    const identity = Identity.generate();
    await this.client(url).addUser({
      name,
      key: identity.keyId,
      role: "user",
    });
    return this.client(url, identity);
  }
}

/** A request with any headers and body. */
export function sendRaw(
  url: string,
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body: string | Uint8Array = "",
): Promise<{ readonly status: number; readonly body: string }> {
  return new Promise((resolve, reject) => {
    const asking = request(new URL(path, url), { method, headers }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (piece: string) => {
        text += piece;
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body: text }));
    });
    asking.on("error", reject);
    asking.end(body);
  });
}
