/**
 * A machine's network settings as far as plans speak of them, carrying out actions as `ip`, `nft` and the engine would: what exists can't
 * be made again, what is missing can't be changed, namespaces and cables take along what is theirs. For properties of plans.
 */
import type { Action } from "../../src/control/node/action.ts";
import type { Seen, SeenLink, SeenPlace, SeenRoute } from "../../src/control/node/observe.ts";
import type { DevicePlan } from "../../src/control/node/plan.ts";
import { digestChain } from "../../src/control/node/wanted.ts";

interface Link {
  name: string;
  kind: string;
  alias: string | undefined;
  group: number;
  mac: string;
  mtu: number;
  master: string | undefined;
  isUp: boolean;
  addresses: string[];
  /** The other end of a cable, or what it sits on. */
  far: Link | undefined;
  parent: Link | undefined;
  place: Place;
}

interface Place {
  mark: string | undefined;
  isLoopbackUp: boolean;
  links: Map<string, Link>;
  routes: (SeenRoute & { readonly isOwn: boolean })[];
  tables: Map<string, string>;
  sysctls: Map<string, string>;
}

const GROUP = 0x7768;

export class MachineModel {
  readonly #host: Place = emptyPlace();
  readonly #namespaces = new Map<string, Place>();
  /** The tunnels of the engine. */
  readonly #devices = new Set<string>();

  /** Carries one action out; throws where the machine would refuse it. */
  do(action: Action): void {
    switch (action.kind) {
      case "ip":
        this.#ip(action.namespace, action.line.split(" "));
        return;
      case "unlink": {
        const link = this.#place(action.namespace).links.get(action.name);
        if (link !== undefined) this.#delete(link);
        return;
      }
      case "sysctl": {
        const [path, value] = action.setting;
        const place = this.#place(action.namespace);
        const link = /net\/ipv[46]\/conf\/([^/]+)\//.exec(path)?.[1];
        if (link !== undefined && link !== "all" && !place.links.has(link))
          throw new Error(`no ${path}`);
        place.sysctls.set(path, String(value));
        return;
      }
      case "table": {
        const { family, name } = action.table;
        this.#place(action.namespace).tables.set(`${family} ${name}`, digestChain(action.table));
        return;
      }
      case "dropTable": {
        const { namespace, family, name } = action;
        if (!this.#place(namespace).tables.delete(`${family} ${name}`)) throw new Error("no table");
        return;
      }
      case "tun": {
        if (this.#devices.has(action.name)) throw new Error(`${action.name} is served`);
        this.#add(this.#place(action.namespace), {
          name: action.name,
          kind: "tun",
          mtu: action.mtu,
        });
        this.#devices.add(action.name);
        return;
      }
      case "closeTun": {
        if (!this.#devices.delete(action.name)) throw new Error(`${action.name} is not served`);
        for (const place of [this.#host, ...this.#namespaces.values()]) {
          const link = place.links.get(action.name);
          if (link !== undefined) this.#delete(link);
        }
        return;
      }
      case "settings":
      case "sockets":
        if (!this.#devices.has(action.name)) throw new Error(`${action.name} is not served`);
        return;
    }
  }

  /** The process dies: its tunnels go with it. */
  crash(): void {
    for (const name of [...this.#devices]) this.do({ kind: "closeTun", name });
  }

  /** Everything in memory is gone, disks apart. */
  reboot(): void {
    this.crash();
    this.#namespaces.clear();
    Object.assign(this.#host, emptyPlace());
  }

  device(name: string, wanted: DevicePlan["wanted"]): DevicePlan {
    return { name, wanted, exists: this.#devices.has(name), settings: [] };
  }

  /** Something that others made. */
  addForeign(namespace: string | undefined, name: string, kind: string): void {
    if (namespace !== undefined && !this.#namespaces.has(namespace)) {
      this.#namespaces.set(namespace, { ...emptyPlace(), isLoopbackUp: true });
    }
    this.#add(this.#place(namespace), { name, kind });
  }

  see(): Seen {
    const seen = new Map<string | undefined, SeenPlace>([
      [undefined, seenPlace(undefined, this.#host)],
    ]);
    for (const [name, place] of this.#namespaces) seen.set(name, seenPlace(name, place));
    return seen;
  }

  /** All there is, for comparing. */
  text(): string {
    return JSON.stringify(
      [...this.see().values()].map((place) => ({ ...place, sysctls: undefined })),
    );
  }

  #place(namespace: string | undefined): Place {
    if (namespace === undefined) return this.#host;
    const place = this.#namespaces.get(namespace);
    if (place === undefined) throw new Error(`no namespace ${namespace}`);
    return place;
  }

  #add(place: Place, more: Partial<Link> & { readonly name: string; readonly kind: string }): Link {
    if (place.links.has(more.name)) throw new Error(`${more.name} exists`);
    const link: Link = {
      alias: undefined,
      group: 0,
      mac: "",
      mtu: 1500,
      master: undefined,
      isUp: false,
      addresses: [],
      far: undefined,
      parent: undefined,
      place,
      ...more,
    };
    place.links.set(more.name, link);
    return link;
  }

  #delete(link: Link): void {
    const { place } = link;
    if (place.links.get(link.name) !== link) return;
    place.links.delete(link.name);
    place.routes = place.routes.filter(({ dev }) => dev !== link.name);
    for (const path of [...place.sysctls.keys()]) {
      if (path.includes(`/conf/${link.name}/`)) place.sysctls.delete(path);
    }
    if (link.far !== undefined) this.#delete(link.far);
    for (const other of [this.#host, ...this.#namespaces.values()]) {
      for (const child of [...other.links.values()]) {
        if (child.parent === link) this.#delete(child);
        if (child.master === link.name && other === place) child.master = undefined;
      }
    }
  }

  #ip(namespace: string | undefined, words: readonly string[]): void {
    const [object, verb, ...rest] = words;
    const place = this.#place(namespace);
    const after = (word: string, list: readonly string[] = rest): string | undefined => {
      const at = list.indexOf(word);
      return at < 0 ? undefined : list[at + 1];
    };
    const find = (name: string | undefined): Link => {
      const link = place.links.get(name ?? "");
      if (link === undefined) throw new Error(`no link ${name}`);
      return link;
    };
    if (object === "netns" && verb === "add") {
      if (this.#namespaces.has(rest[0]!)) throw new Error("namespace exists");
      this.#namespaces.set(rest[0]!, emptyPlace());
    } else if (object === "netns" && verb === "delete") {
      for (const link of [...this.#place(rest[0]).links.values()]) this.#delete(link);
      this.#namespaces.delete(rest[0]!);
    } else if (object === "link" && verb === "add") this.#addLink(rest, after, find);
    else if (object === "tuntap") {
      this.#add(place, { name: after("dev")!, kind: "tun" });
    } else if (object === "link" && verb === "set") this.#setLink(place, rest, after, find);
    else if (object === "address") {
      const link = find(after("dev"));
      const address = rest[0]!;
      if (verb === "add" && link.addresses.includes(address)) throw new Error("address exists");
      if (verb === "delete" && !link.addresses.includes(address)) throw new Error("no address");
      if (verb === "add") link.addresses.push(address);
      else link.addresses = link.addresses.filter((other) => other !== address);
    } else if (object === "route") this.#route(place, verb === "delete", rest, after, find);
    else throw new Error(`unknown: ip ${words.join(" ")}`);
  }

  #addLink(
    rest: readonly string[],
    after: (word: string, list?: readonly string[]) => string | undefined,
    find: (name: string | undefined) => Link,
  ): void {
    const peerAt = rest.indexOf("peer");
    const near = peerAt < 0 ? rest : rest.slice(0, peerAt);
    const kind = after("type", near)!;
    const target = this.#place(after("netns", near));
    const parent = kind === "macvlan" ? find(after("link", near)) : undefined;
    const common = { kind, parent, group: Number(after("group", near) ?? 0) };
    const far = peerAt < 0 ? undefined : rest.slice(peerAt);
    const farPlace = far === undefined ? undefined : this.#place(after("netns", far));
    if (far !== undefined && farPlace?.links.has(after("name", far)!))
      throw new Error("far exists");
    const mac = after("address", near) ?? "";
    const link = this.#add(target, { name: after("name", near)!, ...common, mac });
    if (far === undefined || farPlace === undefined) return;
    const group = Number(after("group", far) ?? 0);
    const end = {
      name: after("name", far)!,
      kind,
      group,
      mac: after("address", far) ?? "",
      far: link,
    };
    link.far = this.#add(farPlace, end);
  }

  #setLink(
    place: Place,
    rest: readonly string[],
    after: (word: string) => string | undefined,
    find: (name: string | undefined) => Link,
  ): void {
    if (after("dev") === "lo") {
      place.mark = after("alias") ?? place.mark;
      if (rest.includes("up")) place.isLoopbackUp = true;
      return;
    }
    const link = find(after("dev"));
    const namespace = after("netns");
    if (namespace !== undefined) {
      const target = this.#place(namespace);
      place.links.delete(link.name);
      Object.assign(link, { place: target, addresses: [], isUp: false });
      target.links.set(link.name, link);
      return;
    }
    const master = after("master");
    if (master !== undefined) find(master);
    link.alias = after("alias") ?? link.alias;
    link.group = Number(after("group") ?? link.group);
    link.mac = after("address") ?? link.mac;
    link.mtu = Number(after("mtu") ?? link.mtu);
    link.master = master ?? link.master;
    if (rest.includes("up")) link.isUp = true;
  }

  #route(
    place: Place,
    isDelete: boolean,
    rest: readonly string[],
    after: (word: string) => string | undefined,
    find: (name: string | undefined) => Link,
  ): void {
    const [to = ""] = rest;
    const dev = after("dev")!;
    const via = after("via");
    if (!find(dev).isUp) throw new Error(`${dev} is down`);
    const family = `${to} ${via ?? ""}`.includes(":") ? 6 : 4;
    const others = place.routes.filter((route) => !(route.to === to && route.family === family));
    if (isDelete && others.length === place.routes.length) throw new Error("no route");
    const route = { to, family, via, dev, isOwn: after("proto") === "157" } as const;
    place.routes = isDelete ? others : [...others, route];
  }
}

function emptyPlace(): Place {
  return {
    mark: undefined,
    isLoopbackUp: false,
    links: new Map(),
    routes: [],
    tables: new Map(),
    sysctls: new Map(),
  };
}

function seenPlace(namespace: string | undefined, place: Place): SeenPlace {
  const links = [...place.links.values()].map(
    (link): SeenLink => ({
      name: link.name,
      kind: link.kind,
      alias: link.alias,
      isOwn: link.group === GROUP || link.alias?.startsWith("wirehaul:") === true,
      mac: link.mac,
      mtu: link.mtu,
      master: link.master,
      isUp: link.isUp,
      addresses: [...link.addresses],
    }),
  );
  return {
    namespace,
    mark: place.mark,
    isPristine:
      links.every(({ isOwn }) => isOwn) && place.mark === undefined && !place.isLoopbackUp,
    links,
    routes: place.routes.filter(({ isOwn }) => isOwn),
    chains: [...place.tables].map(([table, chain]) => {
      const [family = "", name = ""] = table.split(" ");
      return [family, name, chain] as const;
    }),
    sysctls: place.sysctls,
  };
}
