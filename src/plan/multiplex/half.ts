import type { ActivationRow } from "../../memory/activation-rows.js";

/** A node as the printed algorithms see it: its time, and the bytes that it alone needs (μ-TWO's `active_mem`). */
export interface TimedNode {
  readonly name: string;
  readonly ms: number;
  readonly activeBytes: number;
}

/** What the printed algorithms read of a feature map; ranks are those of its sub-array's nodes. */
export type FeatureMap = Pick<
  ActivationRow,
  | "name"
  | "memoryBytes"
  | "createdRank"
  | "lastForwardAccess"
  | "firstBackwardAccess"
  | "lastBackwardAccess"
  | "inactiveMs"
  | "swapMs"
  | "recomputeSources"
  | "recomputeMs"
  | "fixed"
>;

/** Models fused into one, as one step: its forward nodes, then all others. */
export interface SubArray {
  readonly nodes: readonly TimedNode[];
  /** How many of the nodes are forward. */
  readonly forwardCount: number;
  readonly maps: readonly FeatureMap[];
  /** Weights and their gradients, which are inside the active bytes of every node. */
  readonly staticBytes: number;
}

/** How a feature map comes back in the backward phase; `prompt` is null for one that is made again at its first use. */
export interface Return {
  readonly prompt: Prompt | null;
}

/** Where a copy back begins: before the last `lead` forward nodes of those that stand before a backward node. */
export interface Prompt {
  readonly rank: number;
  readonly lead: number;
}

/** A node of a merged schedule: of the backward sub-array, or of the forward one. */
export interface Merged {
  readonly isForward: boolean;
  readonly rank: number;
}

/** What leaves a sub-array's feature maps, by their names. */
export type Evicted = ReadonlyMap<string, Return>;

/**
 * A schedule [BW, FW] in the making: backward nodes of one sub-array in their order, each after the forward nodes of the
 * other that were placed right before it; the other forward nodes after all of them, as in the initial timeline.
 */
export class Half {
  /** Forward nodes that stand right before each backward node, by its rank. */
  readonly placed = new Map<number, number>();
  private readonly waiting: Float64Array;

  /** `keptBy` says what the forward sub-array's own plan evicts: decided when the other half is scheduled. */
  constructor(
    readonly backward: SubArray,
    readonly forward: SubArray,
    keptBy: Evicted,
  ) {
    this.waiting = new Float64Array(forward.forwardCount);
    for (const { name, memoryBytes, lastForwardAccess } of forward.maps)
      if (!keptBy.has(name)) this.waiting[lastForwardAccess]! += memoryBytes;
  }

  /** Number of the first forward node of those placed before a backward node. */
  firstBefore(rank: number): number {
    let first = 0;
    for (const [other, count] of this.placed) if (other < rank) first += count;
    return first;
  }

  get placedCount(): number {
    return this.firstBefore(Number.POSITIVE_INFINITY);
  }

  /** The numbers of the forward nodes that a copy hides behind whose last `lead` stand before a backward node. */
  leadOf({ rank, lead }: Prompt): number[] {
    const end = this.firstBefore(rank) + (this.placed.get(rank) ?? 0);
    return Array.from({ length: lead }, (_, i) => end - lead + i);
  }

  /** The merged schedule. */
  order(): Merged[] {
    const { backward, forward, placed } = this;
    const merged: Merged[] = [];
    let next = 0;
    const take = (count: number): void => {
      for (const end = next + count; next < end; next++) merged.push({ isForward: true, rank: next });
    };
    for (let rank = backward.forwardCount; rank < backward.nodes.length; rank++) {
      take(placed.get(rank) ?? 0);
      merged.push({ isForward: false, rank });
    }
    take(forward.forwardCount - next);
    return merged;
  }

  /**
   * μ-TWO's Algorithm G: bytes at each node of the merged schedule. Those that both sides' nodes need, once what is static
   * in both, and the feature maps that wait: the backward side's before their first use, the forward side's after their
   * last. What a recomputation makes on its way is invisible to it.
   */
  bytes(evicted: Evicted): Float64Array {
    const { backward, forward, waiting } = this;
    const back = new Map<string, number>();
    const change = new Float64Array(backward.nodes.length);
    let waitingBack = 0;
    for (const { name, memoryBytes, firstBackwardAccess } of backward.maps) {
      const away = evicted.get(name);
      change[firstBackwardAccess]! -= memoryBytes;
      if (!away) waitingBack += memoryBytes;
      else if (!away.prompt) change[firstBackwardAccess]! += memoryBytes;
      else if (away.prompt.lead) {
        const key = `${this.leadOf(away.prompt)[0]}`;
        back.set(key, (back.get(key) ?? 0) + memoryBytes);
      } else change[away.prompt.rank]! += memoryBytes;
    }
    const shared = Math.min(backward.staticBytes, forward.staticBytes);
    let [ahead, activeBack, activeAhead] = [0, 0, 0];
    return Float64Array.from(this.order(), ({ isForward, rank }) => {
      if (isForward) {
        activeAhead = (forward.nodes[rank] as TimedNode).activeBytes;
        waitingBack += back.get(`${rank}`) ?? 0;
      } else {
        activeBack = (backward.nodes[rank] as TimedNode).activeBytes;
        waitingBack += change[rank] as number;
      }
      const both = activeBack > 0 && activeAhead > 0 ? shared : 0;
      const bytes = activeBack + activeAhead + waitingBack + ahead - both;
      if (isForward) ahead += waiting[rank] as number;
      return bytes;
    });
  }
}

/** Bytes over a limit, summed over all nodes of a schedule. */
export const excess = (bytes: Float64Array, limitBytes: number): number =>
  bytes.reduce((sum, one) => sum + Math.max(0, one - limitBytes), 0);
