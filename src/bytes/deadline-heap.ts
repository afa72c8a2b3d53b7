/**
 * A binary min-heap of things with deadlines. Each item carries its own slot and key, so that moving a deadline costs no
 * lookup and no allocation. Reads no clock.
 */

export interface Timed {
  /** Position in the heap, -1: not in it. Written by the heap only. */
  heapSlot: number;
  /** The deadline that it is sorted by. Written by the heap only. */
  heapKey: number;
}

export class DeadlineHeap<Item extends Timed> {
  readonly #items: Item[] = [];

  /** The earliest deadline, Infinity if there is none. */
  get earliest(): number {
    return this.#items[0]?.heapKey ?? Number.POSITIVE_INFINITY;
  }

  get first(): Item | undefined {
    return this.#items[0];
  }

  get count(): number {
    return this.#items.length;
  }

  /** Makes sure that the item comes up at `deadline` or before: earlier keys stay (cheap, the usual case). */
  wakeBy(item: Item, deadline: number): void {
    if (item.heapSlot >= 0 && item.heapKey <= deadline) return;
    if (deadline === Number.POSITIVE_INFINITY) return;
    this.set(item, deadline);
  }

  /** Sets the item's deadline, earlier or later; Infinity takes it out. */
  set(item: Item, deadline: number): void {
    if (deadline === Number.POSITIVE_INFINITY) {
      this.remove(item);
      return;
    }
    const before = item.heapKey;
    item.heapKey = deadline;
    if (item.heapSlot < 0) {
      item.heapSlot = this.#items.length;
      this.#items.push(item);
      this.#up(item.heapSlot);
    } else if (deadline < before) {
      this.#up(item.heapSlot);
    } else {
      this.#down(item.heapSlot);
    }
  }

  remove(item: Item): void {
    const slot = item.heapSlot;
    if (slot < 0) return;
    const last = this.#items.pop();
    item.heapSlot = -1;
    item.heapKey = Number.POSITIVE_INFINITY;
    if (last === undefined || last === item) return;
    this.#items[slot] = last;
    last.heapSlot = slot;
    this.#up(slot);
    this.#down(last.heapSlot);
  }

  #up(slot: number): void {
    const item = this.#items[slot]!;
    let at = slot;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const other = this.#items[parent]!;
      if (other.heapKey <= item.heapKey) break;
      this.#items[at] = other;
      other.heapSlot = at;
      at = parent;
    }
    this.#items[at] = item;
    item.heapSlot = at;
  }

  #down(slot: number): void {
    const item = this.#items[slot]!;
    const count = this.#items.length;
    let at = slot;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= count) break;
      if (child + 1 < count && this.#items[child + 1]!.heapKey < this.#items[child]!.heapKey)
        child++;
      const other = this.#items[child]!;
      if (other.heapKey >= item.heapKey) break;
      this.#items[at] = other;
      other.heapSlot = at;
      at = child;
    }
    this.#items[at] = item;
    item.heapSlot = at;
  }
}
