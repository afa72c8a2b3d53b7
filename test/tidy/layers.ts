/**
 * The rule of the layers (ARCHITECTURE.md): data flows one way, a file imports only from its own layer and those below. Pure:
 * paths and texts in, sentences out.
 */
import { posix } from "node:path";

/** Rank of each layer of `src`; equal ranks know nothing of each other, but for {@link ALLOWED}. */
const RANKS: Readonly<Record<string, number>> = {
  bytes: 0,
  crypto: 1,
  wire: 2,
  route: 2,
  uapi: 2,
  session: 3,
  tunnel: 4,
  lane: 5,
  io: 6,
  workers: 7,
  engine: 8,
  control: 9,
  cli: 10,
};

/** Imports between equal ranks. */
const ALLOWED: readonly (readonly [string, string])[] = [["uapi", "route"]];

/** Below `io`: time, entropy and bytes come in as arguments. */
const PURE: readonly string[] = [
  "bytes",
  "crypto",
  "wire",
  "route",
  "uapi",
  "session",
  "tunnel",
  "lane",
];

/** The one file of the pure layers that takes from Node, and what. */
const NODE_IMPORTS: Readonly<Record<string, string>> = { "src/crypto/openssl.ts": "node:crypto" };

/** What reads a clock, rolls dice or asks the process. */
const AMBIENT =
  /\b(Date\.now|new Date|performance\.|Math\.random|setTimeout|setInterval|setImmediate|queueMicrotask|process\.|crypto\.getRandomValues|hrtime)/;

export interface Source {
  /** From the root of the repository, with slashes. */
  readonly path: string;
  readonly text: string;
}

/** Static imports, re-exports, type imports, dynamic imports and `require`: the same to this rule. */
const SPECIFIER = /(?:\bfrom|\bimport|\brequire)\s*\(?\s*(["'`])([^"'`]+)\1/g;
const COMPUTED = /\b(?:import|require)\s*\(\s*(?!["'`])/;

/** Comments may name other layers. Strings of this code base hold no comment signs beside URLs. */
function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|[^:"'`])\/\/.*$/gm, "$1");
}

/** The layer of a file: "tunnel" of "src/tunnel/peer.ts", "workers" of "workers/lane.ts", "" of "src/index.ts". */
function layerOf(path: string): string {
  const parts = path.split("/");
  if (parts[0] === "workers") return "workers";
  return parts[0] === "src" && parts.length > 2 ? (parts[1] ?? "") : "";
}

/** What breaks the rule in one file, in words; nothing, if it keeps it. */
export function layerFaults({ path, text }: Source): string[] {
  const layer = layerOf(path);
  if (layer === "") return [];
  const rank = RANKS[layer];
  if (rank === undefined) return [`${path} is in no known layer`];
  const code = withoutComments(text);
  const isPure = PURE.includes(layer);
  const faults: string[] = [];
  if (COMPUTED.test(code)) faults.push(`${path} imports a name that it computes`);
  if (isPure && path !== "src/crypto/openssl.ts") {
    const ambient = AMBIENT.exec(code);
    if (ambient !== null) faults.push(`${path} uses ${ambient[1]}`);
  }
  for (const match of code.matchAll(SPECIFIER)) {
    const specifier = match[2] ?? "";
    if (!specifier.startsWith(".")) {
      const isNode = specifier.startsWith("node:");
      if (isPure && isNode && NODE_IMPORTS[path] !== specifier) {
        faults.push(`${path} imports ${specifier}`);
      }
      continue;
    }
    const target = posix.join(posix.dirname(path), specifier);
    const fault = importFault(path, layer, rank, target);
    if (fault !== undefined) faults.push(fault);
  }
  return faults;
}

function importFault(
  path: string,
  layer: string,
  rank: number,
  target: string,
): string | undefined {
  if (target === "src/version.ts") return undefined;
  const other = layerOf(target);
  const otherRank = RANKS[other];
  if (other === "" || otherRank === undefined) return `${path} imports ${target}`;
  if (other === layer || otherRank < rank) return undefined;
  const isAllowed = ALLOWED.some(([from, to]) => from === layer && to === other);
  if (otherRank === rank) return isAllowed ? undefined : `${path} imports sideways: ${target}`;
  return `${path} imports upward: ${target}`;
}
