/**
 * Allowed IPs: which peer a prefix belongs to, and the longest-prefix match of every packet. A path-compressed binary trie
 * per address family over one pool of nodes, and per peer a list of its nodes in the order in which they came to it
 * (wireguard-go's EntriesForPeer lists in that order, and so does `wg show`).
 *
 * A node is an index into typed arrays; free nodes are chained through their parent field, and the arrays shrink when most
 * of them are free. What a look-up reads of a node lies together in 16 bytes of `#hot`; IPv6 reads 12 more.
 *
 *   #hot   child 0 | child 1 | first 32 bits of the prefix | (peer + 1) << 8 | cidr        each i32, host order
 *   #rest  the next 96 bits of an IPv6 prefix                                               three u32
 *
 * A node without a peer is a branch and has two children. A child's prefix is longer than its parent's and begins with it.
 * It knows peers as numbers only and neither parses text nor reads packet headers.
 */
import type { Family } from "./address.ts";

/** One prefix of a peer; `bytes` as in address.ts, host bits zero. */
export interface AllowedIp {
  readonly family: Family;
  readonly bytes: Uint8Array;
  readonly cidr: number;
}

/** Greatest peer id: it shares a word with the prefix length. */
export const PEER_ID_MAX = 0x7f_fffd;

const NONE = -1;
const CAPACITY_MIN = 64;
/** Fewer nodes than this fit a cache wherever they lie. */
const STREWN_MIN = 1024;
/** Nodes are laid out anew when one of this many is strewn. Measured with 100,000 random prefixes: 16 makes IPv6 look-ups a
 * tenth faster than 4 and insertion a quarter slower. */
const STREWN_SHARE = 16;

/** Words of one node in `#hot`. */
const HOT = 4;
const FIRST = 2;
const OWNER = 3;
/** Low bits of the owner word: prefix length, 0 to 128. */
const CIDR_MASK = 0xff;
const NO_PEER = 0;

/** `#parent`: node * 2 + which child, or a root: -2 for IPv4, -3 for IPv6. A free node's: the next free one, or NONE. */
const ROOT_V4 = -2;
const ROOT_V6 = -3;

export class AllowedIps {
  #root4 = NONE;
  #root6 = NONE;
  #hot: Int32Array = new Int32Array(CAPACITY_MIN * HOT);
  #rest: Uint32Array = new Uint32Array(CAPACITY_MIN * 3);
  #parent: Int32Array = new Int32Array(CAPACITY_MIN);
  /** The neighbours in the list of the peer's nodes. */
  #before: Int32Array = new Int32Array(CAPACITY_MIN);
  #after: Int32Array = new Int32Array(CAPACITY_MIN);
  /** First and last node of each peer. */
  readonly #lists = new Map<number, { head: number; tail: number }>();
  /** Nodes that were ever used since the arrays were made; those past it are fresh. */
  #used = 0;
  #free = NONE;
  #nodes = 0;
  /** Nodes that were placed anywhere since all were last laid out. */
  #strewn = 0;
  #size = 0;
  /** The address at hand of insert and remove, masked: four words, host order. */
  readonly #words: Uint32Array = new Uint32Array(4);

  /** How many prefixes there are, of both families. */
  get size(): number {
    return this.#size;
  }

  /** Bytes that the node arrays take. */
  get memoryBytes(): number {
    return this.#parent.length * (HOT * 4 + 12 + 12);
  }

  /** Peer of the longest prefix of an IPv4 address (u32 or i32, most significant octet first), -1: none. Allocates nothing. */
  lookup4(address: number): number {
    const hot = this.#hot;
    let found = NO_PEER;
    let node = this.#root4;
    while (node >= 0) {
      const at = node * HOT;
      const owner = hot[at + OWNER]!;
      const cidr = owner & CIDR_MASK;
      if (Math.clz32(hot[at + FIRST]! ^ address) < cidr) break;
      const peer = owner >>> 8;
      if (peer !== NO_PEER) found = peer;
      if (cidr === 32) break;
      node = hot[at + ((address >>> (31 - cidr)) & 1)]!;
    }
    return found - 1;
  }

  /** {@link lookup4} of the four octets at bytes[offset]. */
  lookup4At(bytes: Uint8Array, offset: number): number {
    return this.lookup4(loadI32(bytes, offset));
  }

  /** Peer of the longest prefix of the IPv6 address at bytes[offset, offset+16), network order, -1: none. Allocates nothing. */
  lookup6At(bytes: Uint8Array, offset: number): number {
    const hot = this.#hot;
    const first = loadI32(bytes, offset);
    const second = loadI32(bytes, offset + 4);
    const third = loadI32(bytes, offset + 8);
    const fourth = loadI32(bytes, offset + 12);
    let found = NO_PEER;
    let node = this.#root6;
    while (node >= 0) {
      const at = node * HOT;
      const owner = hot[at + OWNER]!;
      const cidr = owner & CIDR_MASK;
      const peer = owner >>> 8;
      // A branch need not match: whatever is found below it does.
      if (peer !== NO_PEER) {
        if (Math.clz32(hot[at + FIRST]! ^ first) < Math.min(cidr, 32)) break;
        if (cidr > 32 && !this.#matchesRest(node, second, third, fourth, cidr - 32)) break;
        found = peer;
        if (cidr === 128) break;
      }
      const word = cidr < 64 ? (cidr < 32 ? first : second) : cidr < 96 ? third : fourth;
      node = hot[at + ((word >>> (31 - (cidr & 31))) & 1)]!;
    }
    return found - 1;
  }

  /**
   * Gives a prefix to a peer (0 to {@link PEER_ID_MAX}), taking it from its owner; it comes last in the peer's list, also when
   * it was there before. `bytes[offset..]` is 4 or 16 octets by `family`; bits after the first `cidr` are ignored.
   */
  insert(family: Family, bytes: Uint8Array, offset: number, cidr: number, peer: number): void {
    if (!Number.isInteger(peer) || peer < 0 || peer > PEER_ID_MAX) {
      throw new RangeError(`peer id out of range: ${peer}`);
    }
    this.#load(family, bytes, offset, cidr);
    this.#reserve(2);
    const node = this.#place(family === 2 ? ROOT_V4 : ROOT_V6, cidr);
    this.#disown(node);
    this.#own(node, peer);
  }

  /** Takes a prefix from a peer; false: it does not own exactly this one. Arguments as of {@link insert}. */
  remove(family: Family, bytes: Uint8Array, offset: number, cidr: number, peer: number): boolean {
    this.#load(family, bytes, offset, cidr);
    let node = family === 2 ? this.#root4 : this.#root6;
    while (node >= 0 && this.#cidr(node) < cidr && this.#common(node) >= this.#cidr(node)) {
      node = this.#hot[node * HOT + this.#bit(this.#cidr(node))]!;
    }
    if (node < 0 || this.#cidr(node) !== cidr || this.#common(node) < cidr) return false;
    if (peer < 0 || this.#hot[node * HOT + OWNER]! >>> 8 !== peer + 1) return false;
    this.#disown(node);
    this.#prune(node);
    this.#shrink();
    return true;
  }

  /** Takes all prefixes from a peer. */
  removeByPeer(peer: number): void {
    for (;;) {
      const list = this.#lists.get(peer);
      if (list === undefined) break;
      const node = list.head;
      this.#disown(node);
      this.#prune(node);
    }
    this.#shrink();
  }

  /** Lists a peer's prefixes in the order in which they came to it. Fresh objects. */
  entries(peer: number): AllowedIp[] {
    const entries: AllowedIp[] = [];
    let node = this.#lists.get(peer)?.head ?? NONE;
    while (node >= 0) {
      const bytes = new Uint8Array(16);
      const view = new DataView(bytes.buffer);
      view.setUint32(0, this.#hot[node * HOT + FIRST]!);
      for (let i = 0; i < 3; i += 1) view.setUint32(4 + i * 4, this.#rest[node * 3 + i]!);
      entries.push({ family: this.#familyOf(node), bytes, cidr: this.#cidr(node) });
      node = this.#after[node]!;
    }
    return entries;
  }

  #familyOf(node: number): Family {
    let parent = this.#parent[node]!;
    while (parent >= 0) parent = this.#parent[parent >> 1]!;
    return parent === ROOT_V4 ? 2 : 10;
  }

  /** Whether words of an address agree with the node's prefix after its first 32 bits in `cidr` (1 to 96) bits. */
  #matchesRest(node: number, second: number, third: number, fourth: number, cidr: number): boolean {
    const rest = this.#rest;
    const base = node * 3;
    const common = Math.clz32(rest[base]! ^ second);
    if (cidr <= 32) return common >= cidr;
    if (common < 32) return false;
    const further = Math.clz32(rest[base + 1]! ^ third);
    if (cidr <= 64) return further >= cidr - 32;
    if (further < 32) return false;
    return Math.clz32(rest[base + 2]! ^ fourth) >= cidr - 64;
  }

  /** Reads an address into `#words` and clears its host bits. */
  #load(family: Family, bytes: Uint8Array, offset: number, cidr: number): void {
    if (!Number.isInteger(cidr) || cidr < 0 || cidr > (family === 2 ? 32 : 128)) {
      throw new RangeError(`prefix length out of range: ${cidr}`);
    }
    const words = this.#words;
    words[0] = loadI32(bytes, offset);
    for (let i = 1; i < 4; i += 1) words[i] = family === 2 ? 0 : loadI32(bytes, offset + i * 4);
    for (let i = 0; i < 4; i += 1) {
      const kept = Math.min(Math.max(cidr - i * 32, 0), 32);
      // A shift by 32 is one by 0.
      if (kept < 32) words[i] = kept === 0 ? 0 : words[i]! & (-1 << (32 - kept));
    }
  }

  /** Finds or makes the node of the prefix in `#words`. There is room for two nodes. */
  #place(root: number, cidr: number): number {
    let link = root;
    let node = this.#follow(link);
    while (node >= 0) {
      const length = this.#cidr(node);
      const common = Math.min(this.#common(node), cidr);
      if (common < length) return this.#split(link, node, common, cidr);
      if (length === cidr) return node;
      link = node * 2 + this.#bit(length);
      node = this.#follow(link);
    }
    return this.#attach(link, this.#make(cidr));
  }

  /** Puts the new prefix above `down`, of which it has `common` bits: itself, or as the other child of a branch. */
  #split(link: number, down: number, common: number, cidr: number): number {
    const node = this.#make(cidr);
    const side = this.#bitOf(down, common);
    if (common === cidr) {
      this.#attach(link, node);
      this.#attach(node * 2 + side, down);
      return node;
    }
    const branch = this.#makeBranch(common);
    this.#attach(link, branch);
    this.#attach(branch * 2 + side, down);
    return this.#attach(branch * 2 + (1 - side), node);
  }

  /** Takes a node that lost its peer out of the trie if it is not needed as a branch, and a branch above it likewise. */
  #prune(node: number): void {
    const left = this.#hot[node * HOT]!;
    const right = this.#hot[node * HOT + 1]!;
    if (left >= 0 && right >= 0) return;
    const link = this.#parent[node]!;
    const child = left >= 0 ? left : right;
    this.#attach(link, child);
    this.#release(node);
    if (child >= 0 || link < 0) return;
    const branch = link >> 1;
    if (this.#hot[branch * HOT + OWNER]! >>> 8 !== NO_PEER) return;
    this.#attach(this.#parent[branch]!, this.#hot[branch * HOT + (1 - (link & 1))]!);
    this.#release(branch);
  }

  /** Makes `node` (or NONE) what a link leads to. */
  #attach(link: number, node: number): number {
    if (link === ROOT_V4) this.#root4 = node;
    else if (link === ROOT_V6) this.#root6 = node;
    else this.#hot[(link >> 1) * HOT + (link & 1)] = node;
    if (node >= 0) this.#parent[node] = link;
    return node;
  }

  #follow(link: number): number {
    if (link === ROOT_V4) return this.#root4;
    if (link === ROOT_V6) return this.#root6;
    return this.#hot[(link >> 1) * HOT + (link & 1)]!;
  }

  /** Appends the node, which has no peer, to a peer's list. */
  #own(node: number, peer: number): void {
    const list = this.#lists.get(peer);
    this.#before[node] = list?.tail ?? NONE;
    this.#after[node] = NONE;
    if (list === undefined) {
      this.#lists.set(peer, { head: node, tail: node });
    } else {
      this.#after[list.tail] = node;
      list.tail = node;
    }
    this.#hot[node * HOT + OWNER] = ((peer + 1) << 8) | this.#cidr(node);
    this.#size += 1;
  }

  /** Takes the node from its peer's list, if it has a peer. */
  #disown(node: number): void {
    const peer = (this.#hot[node * HOT + OWNER]! >>> 8) - 1;
    if (peer < 0) return;
    const list = this.#lists.get(peer)!;
    const before = this.#before[node]!;
    const after = this.#after[node]!;
    if (before >= 0) this.#after[before] = after;
    else list.head = after;
    if (after >= 0) this.#before[after] = before;
    else list.tail = before;
    if (list.head < 0) this.#lists.delete(peer);
    this.#hot[node * HOT + OWNER] = this.#cidr(node);
    this.#size -= 1;
  }

  /** A node for the prefix in `#words`, without peer, children or place. */
  #make(cidr: number): number {
    const words = this.#words;
    const node = this.#allocate(cidr);
    this.#hot[node * HOT + FIRST] = words[0]!;
    for (let i = 0; i < 3; i += 1) this.#rest[node * 3 + i] = words[i + 1]!;
    return node;
  }

  /** A branch of the first `cidr` bits of `#words`, which it cuts to that length. */
  #makeBranch(cidr: number): number {
    const words = this.#words;
    for (let i = 0; i < 4; i += 1) {
      const kept = cidr - i * 32;
      if (kept < 32) words[i] = kept <= 0 ? 0 : words[i]! & (-1 << (32 - kept));
    }
    return this.#make(cidr);
  }

  #allocate(cidr: number): number {
    let node = this.#free;
    if (node >= 0) {
      this.#free = this.#parent[node]!;
    } else {
      node = this.#used;
      this.#used += 1;
    }
    this.#nodes += 1;
    this.#strewn += 1;
    this.#hot[node * HOT] = NONE;
    this.#hot[node * HOT + 1] = NONE;
    this.#hot[node * HOT + OWNER] = cidr;
    return node;
  }

  /** Frees a node that has no peer and that no link leads to. */
  #release(node: number): void {
    this.#parent[node] = this.#free;
    this.#free = node;
    this.#nodes -= 1;
  }

  #cidr(node: number): number {
    return this.#hot[node * HOT + OWNER]! & CIDR_MASK;
  }

  /** How many leading bits the node's prefix and `#words` have in common, up to 128. */
  #common(node: number): number {
    const words = this.#words;
    let common = Math.clz32(this.#hot[node * HOT + FIRST]! ^ words[0]!);
    for (let i = 1; i < 4 && common === i * 32; i += 1) {
      common += Math.clz32(this.#rest[node * 3 + i - 1]! ^ words[i]!);
    }
    return common;
  }

  /** Bit `index` (0 to 127) of `#words`. */
  #bit(index: number): number {
    return (this.#words[index >>> 5]! >>> (31 - (index & 31))) & 1;
  }

  /** Bit `index` (0 to 127) of the node's prefix. */
  #bitOf(node: number, index: number): number {
    const word =
      index < 32 ? this.#hot[node * HOT + FIRST]! : this.#rest[node * 3 + (index >>> 5) - 1]!;
    return (word >>> (31 - (index & 31))) & 1;
  }

  /** Makes sure that `count` nodes can be allocated, and that most nodes lie near those above them. */
  #reserve(count: number): void {
    const capacity = this.#parent.length;
    if (this.#nodes + count > capacity) this.#resize(capacity * 2);
    else if (this.#strewn >= STREWN_MIN && this.#strewn * STREWN_SHARE >= this.#nodes)
      this.#resize(capacity);
  }

  /** Gives memory back when not even a quarter of it is used. */
  #shrink(): void {
    const capacity = this.#parent.length;
    if (capacity <= CAPACITY_MIN || this.#nodes * 4 >= capacity) return;
    this.#resize(Math.max(CAPACITY_MIN, 2 ** Math.ceil(Math.log2(this.#nodes * 2 + 1))));
  }

  /** Moves all nodes to arrays of another size, numbered in the order of a walk, so that neighbours lie close together. */
  #resize(capacity: number): void {
    const { order, numbers } = this.#walk();
    const renumber = (node: number): number => (node < 0 ? node : numbers[node]!);
    const hot = new Int32Array(capacity * HOT);
    const rest = new Uint32Array(capacity * 3);
    const parent = new Int32Array(capacity);
    const before = new Int32Array(capacity);
    const after = new Int32Array(capacity);
    for (let to = 0; to < order.length; to += 1) {
      const from = order[to]!;
      hot[to * HOT] = renumber(this.#hot[from * HOT]!);
      hot[to * HOT + 1] = renumber(this.#hot[from * HOT + 1]!);
      hot[to * HOT + FIRST] = this.#hot[from * HOT + FIRST]!;
      hot[to * HOT + OWNER] = this.#hot[from * HOT + OWNER]!;
      for (let i = 0; i < 3; i += 1) rest[to * 3 + i] = this.#rest[from * 3 + i]!;
      const link = this.#parent[from]!;
      parent[to] = link < 0 ? link : numbers[link >> 1]! * 2 + (link & 1);
      const isOwned = this.#hot[from * HOT + OWNER]! >>> 8 !== NO_PEER;
      before[to] = isOwned ? renumber(this.#before[from]!) : NONE;
      after[to] = isOwned ? renumber(this.#after[from]!) : NONE;
    }
    for (const list of this.#lists.values()) {
      list.head = renumber(list.head);
      list.tail = renumber(list.tail);
    }
    this.#root4 = renumber(this.#root4);
    this.#root6 = renumber(this.#root6);
    this.#hot = hot;
    this.#rest = rest;
    this.#parent = parent;
    this.#before = before;
    this.#after = after;
    this.#used = order.length;
    this.#free = NONE;
    this.#strewn = 0;
  }

  /** All nodes, each followed by all below it, and the place of each in that order by its present number. */
  #walk(): { order: Int32Array; numbers: Int32Array } {
    const order = new Int32Array(this.#nodes);
    const numbers = new Int32Array(this.#parent.length);
    // Nodes yet to visit: at most one for each level above, and both roots.
    const stack = new Int32Array(2 + 128);
    let depth = 0;
    let count = 0;
    if (this.#root6 >= 0) stack[depth++] = this.#root6;
    if (this.#root4 >= 0) stack[depth++] = this.#root4;
    while (depth > 0) {
      depth -= 1;
      const node = stack[depth]!;
      order[count] = node;
      numbers[node] = count;
      count += 1;
      const left = this.#hot[node * HOT]!;
      const right = this.#hot[node * HOT + 1]!;
      if (right >= 0) stack[depth++] = right;
      if (left >= 0) stack[depth++] = left;
    }
    return { order, numbers };
  }
}

/** Four octets in network order as a signed integer: only its bits count, and unlike an unsigned one it is never boxed. */
function loadI32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
}
