/**
 * UAPI text, from the bytes of a connection to the settings of an interface and back. Whatever comes: no exception, the same
 * requests in whatever chunks, an errno that the protocol has, no value in a message. What `get` then shows is what a naive model
 * of the operations says, so that a refused line changes nothing; and `set` takes what `get` shows.
 */
import { formatHex } from "../../../src/bytes/hex.ts";
import { formatEndpointText, formatPrefix } from "../../../src/route/address.ts";
import type { SetOperation } from "../../../src/uapi/operation.ts";
import { type Request, RequestReader } from "../../../src/uapi/request.ts";
import { LinearAllowedIps } from "../../reference/linear-allowed-ips.ts";
import { Subject } from "../lane/subject.ts";
import { ours } from "../lane/tools.ts";
import { must, type Note, type Target, textInput } from "../target.ts";

const ERRNOS = [0, -5, -22, -71, -98];
const A = "11".repeat(32);
const B = "22".repeat(32);

function read(bytes: Uint8Array, size: number): Request[] {
  const reader = new RequestReader();
  const requests: Request[] = [];
  for (let at = 0; at < bytes.length; at += size) {
    requests.push(...reader.push(bytes.subarray(at, at + size)));
  }
  return [...requests, ...reader.end()];
}

interface ModelPeer {
  readonly id: number;
  presharedKey: string;
  endpoint: string | undefined;
  keepalive: number;
}

/** What an interface is told, kept the simple way: text and lists. */
class Model {
  #privateKey = "";
  #publicKey = "";
  #port = 40_000;
  #mark = 0;
  readonly #peers = new Map<string, ModelPeer>();
  readonly #allowed = new LinearAllowedIps();
  #nextId = 0;

  /** Applies what can be applied; an operation that the world refuses ends it. */
  apply(operations: readonly SetOperation[]): void {
    let name: string | undefined;
    let isNew = false;
    for (const operation of operations) {
      const peer = name === undefined ? undefined : this.#peers.get(name);
      switch (operation.op) {
        case "private_key":
          this.#setPrivateKey(operation.key);
          break;
        case "listen_port":
          if (operation.port === 1) return;
          this.#port = operation.port === 0 ? 40_000 : operation.port;
          break;
        case "fwmark":
          this.#mark = operation.mark;
          break;
        case "replace_peers":
          for (const key of [...this.#peers.keys()]) this.#remove(key);
          break;
        case "peer": {
          const key = formatHex(operation.publicKey);
          name = key === this.#publicKey ? undefined : key;
          isNew = name !== undefined && !this.#peers.has(key);
          if (isNew) this.#add(key);
          break;
        }
        case "update_only":
        case "remove":
          if (name !== undefined && (operation.op === "remove" || isNew)) {
            this.#remove(name);
            name = undefined;
          }
          break;
        case "preshared_key":
          if (peer !== undefined) peer.presharedKey = formatHex(operation.key);
          break;
        case "endpoint": {
          const { scope } = operation;
          if (scope !== undefined && !(/^[0-9]+$/.test(scope) && Number(scope) < 2 ** 31)) return;
          if (peer === undefined) break;
          const { scope: _scope, ...bare } = operation;
          const index = Number(scope ?? 0);
          peer.endpoint = formatEndpointText(index === 0 ? bare : { ...bare, scope: `${index}` });
          break;
        }
        case "persistent_keepalive_interval":
          if (peer !== undefined) peer.keepalive = operation.seconds;
          break;
        case "replace_allowed_ips":
          if (peer !== undefined) this.#allowed.removeByPeer(peer.id);
          break;
        case "allowed_ip": {
          const { family, bytes, cidr, add } = operation;
          if (peer === undefined) break;
          if (add) this.#allowed.insert(family, bytes, cidr, peer.id);
          else this.#allowed.remove(family, bytes, cidr, peer.id);
          break;
        }
        default:
          break;
      }
    }
  }

  /** As {@link shown} has it. */
  text(): string {
    const lines = [
      ...(this.#privateKey === "" ? [] : [`private_key=${this.#privateKey}`]),
      `listen_port=${this.#port}`,
      ...(this.#mark === 0 ? [] : [`fwmark=${this.#mark}`]),
    ];
    for (const [key, { id, presharedKey, endpoint, keepalive }] of this.#peers) {
      lines.push(`public_key=${key}`, `preshared_key=${presharedKey}`);
      if (endpoint !== undefined) lines.push(`endpoint=${endpoint}`);
      lines.push(`persistent_keepalive_interval=${keepalive}`);
      const prefixes = this.#allowed.entries(id).map(({ family, bytes, cidr }) => {
        return `allowed_ip=${formatPrefix(family, bytes, cidr)}`;
      });
      lines.push(...prefixes.toSorted());
    }
    return lines.join("\n");
  }

  #setPrivateKey(key: Uint8Array): void {
    this.#privateKey = key.some((byte) => byte !== 0) ? formatHex(key) : "";
    const publicKey = new Uint8Array(32);
    if (this.#privateKey !== "") ours.suite.publicKey(publicKey, key);
    this.#publicKey = this.#privateKey === "" ? "" : formatHex(publicKey);
    this.#remove(this.#publicKey);
  }

  #add(key: string): void {
    const presharedKey = "0".repeat(64);
    this.#peers.set(key, { id: this.#nextId++, presharedKey, endpoint: undefined, keepalive: 0 });
  }

  #remove(key: string): void {
    const peer = this.#peers.get(key);
    if (peer !== undefined) this.#allowed.removeByPeer(peer.id);
    this.#peers.delete(key);
  }
}

/** What `get` says, without what only traffic changes, and with allowed IPs in order. */
function shown(subject: Subject): string {
  const reply = subject.answer({ kind: "get" });
  must(reply.endsWith("errno=0\n\n"), "a get is answered");
  const lines: string[] = [];
  let prefixes: string[] = [];
  for (const line of reply.split("\n")) {
    if (line.startsWith("allowed_ip=")) {
      prefixes.push(line);
      continue;
    }
    lines.push(...prefixes.toSorted());
    prefixes = [];
    if (!/^(last_|tx_|rx_|protocol_|errno=|$)/.test(line)) lines.push(line);
  }
  return lines.join("\n");
}

function check(request: Request): void {
  const message =
    request.kind === "set" ? request.error?.message : "message" in request ? request.message : "";
  must(!/[0-9A-Za-z+/]{33}/.test(message ?? ""), "no message shows a value");
  must((message ?? "").length < 100, "a message is short");
}

function run(input: Uint8Array, note: Note): void {
  const requests = read(input, input.length + 1);
  const inPieces = JSON.stringify(requests, bytesAsText);
  for (const size of [1, 7]) {
    must(
      JSON.stringify(read(input, size), bytesAsText) === inPieces,
      "chunks of any size give the same requests",
    );
  }
  const subject = new Subject(ours, ours.cipher);
  const model = new Model();
  for (const request of requests) {
    check(request);
    if (request.kind === "set") {
      // Keys are wiped when they are applied.
      model.apply(structuredClone(request.operations));
      for (const { op } of request.operations) note(`op ${op}`);
    }
    const reply = subject.answer(request);
    const errno = Number(/errno=(-?[0-9]+)\n\n$/.exec(reply)?.[1] ?? "0");
    must(ERRNOS.includes(errno), `the protocol has errno ${errno}`);
    note(`${request.kind} ${errno}`);
    const text = shown(subject);
    must(text === model.text(), `get shows what was set: ${text} and not ${model.text()}`);
  }
  subject.turn();
  must(shown(subject) === model.text(), "settings stay as they are");
  const again = new Subject(ours, ours.cipher);
  must(
    again.configure(`set=1\n${shown(subject)}\n\n`) === "errno=0\n\n",
    "set takes what get shows",
  );
  must(shown(again) === shown(subject), "and means the same");
  subject.iface.close();
  again.iface.close();
}

function bytesAsText(_name: string, value: unknown): unknown {
  return value instanceof Uint8Array ? formatHex(value) : value;
}

const WORDS = [
  "get=1\n\n",
  "set=1\n",
  "status=1\n\n",
  "\n\n",
  "\r\n",
  "private_key=",
  "public_key=",
  "preshared_key=",
  "endpoint=",
  "allowed_ip=",
  "allowed_ip=-",
  "replace_allowed_ips=true\n",
  "replace_peers=true\n",
  "update_only=true\n",
  "remove=true\n",
  "listen_port=",
  "fwmark=",
  "persistent_keepalive_interval=",
  "protocol_version=1\n",
  "10.0.0.0/8\n",
  "0.0.0.0/0\n",
  "::/0\n",
  "fd00::1:2/64\n",
  "192.0.2.1:51820\n",
  "[fe80::1%3]:1\n",
  "::ffff:1.2.3.4",
  "65535",
  "4294967295",
  "0",
  "1\n",
  A,
  B,
  "0".repeat(64),
  "01".repeat(32),
];

export const uapiTarget: Target = {
  name: "uapi",
  sources: /\/src\/(uapi|route|bytes|tunnel\/(configure|state|tunnel)|lane\/(status|interface))/,
  batch: 64,
  maxBytes: 2_000,
  dictionary: WORDS.map(textInput),
  seeds: [
    `set=1\nprivate_key=${B}\nlisten_port=5\nfwmark=7\npublic_key=${A}\nendpoint=192.0.2.1:9\nallowed_ip=10.0.0.0/8\npersistent_keepalive_interval=25\n\n`,
    `set=1\nreplace_peers=true\npublic_key=${A}\nallowed_ip=::/0\nallowed_ip=-::/0\npublic_key=${B}\npreshared_key=${A}\nupdate_only=true\n\nget=1\n\n`,
    `set=1\npublic_key=${A}\nremove=true\nendpoint=[::1%2]:3\n\n`,
  ].map(textInput),
  run,
};
