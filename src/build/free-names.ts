import type { Node } from "../graph/graph.js";

/** The names of a graph that is being made: which are taken, and what is free for those that are made up. */
export class FreeNames {
  private readonly taken = new Set<string>();
  /** Names that nodes still to come will have: nothing else takes them. */
  private readonly promised = new Set<string>();
  /** Where to look on for a free name: all numbers of a wish below it are taken. */
  private readonly next = new Map<string, number>();

  take(name: string): void {
    this.taken.add(name);
  }

  /** Keeps the names of nodes and tensors that are still to be added from what is named freely before. */
  reserve(nodes: readonly Pick<Node, "name" | "outputs">[]): void {
    for (const { name, outputs } of nodes) {
      this.promised.add(name);
      for (const taken of [name, ...outputs]) if (taken) this.taken.add(taken);
    }
  }

  /** A name that is not taken yet; takes it. */
  fresh(wish: string): string {
    let name = wish;
    if (this.taken.has(wish)) {
      let i = this.next.get(wish) ?? 2;
      while (this.taken.has(`${wish}_${i}`)) i++;
      name = `${wish}_${i}`;
      this.next.set(wish, i + 1);
    }
    this.taken.add(name);
    return name;
  }

  /** The name of a node: as it was promised, else a fresh one. */
  ofNode(wish: string, isGiven: boolean): string {
    return isGiven && this.promised.delete(wish) ? wish : this.fresh(wish);
  }

  /** Gives a name back. */
  release(name: string): void {
    this.taken.delete(name);
    const [, wish = "", number] = /^(.*)_(\d+)$/s.exec(name) ?? [];
    const next = this.next.get(wish);
    if (next !== undefined && Number(number) < next) this.next.set(wish, Number(number));
  }
}
