import { peakInterval } from "../../memory/peak-interval.js";
import { bestOf, candidateOf, Lineage } from "../planners/lineage.js";
import { type Evicted, type FeatureMap, Half, type Merged, type Return, type SubArray } from "./half.js";
import { type Swap, swapOverhead } from "./overhead.js";

/** What the printed algorithms decide for the feature maps of one sub-array, and where the other's forward nodes stand. */
export interface HalfPlan {
  /** What leaves, in the order taken. */
  readonly evicted: Evicted;
  readonly swaps: readonly Swap[];
  readonly order: readonly Merged[];
  /** By Algorithm G. */
  readonly peakBytes: number;
  readonly feasible: boolean;
  /** Time that swaps stall and that is computed again, ms. */
  readonly addedMs: number;
}

/** μ-TWO's Algorithm B for one merged schedule. */
class Policy {
  private readonly half: Half;
  private readonly recomputeMs: Float64Array;
  private readonly lineage: Lineage;
  private readonly peakEnd: number;
  private readonly evicted = new Map<string, Return>();
  private swaps: Swap[] = [];

  constructor(
    private readonly subArray: SubArray,
    other: SubArray,
    otherEvicted: Evicted,
    private readonly limitBytes: number,
  ) {
    this.half = new Half(subArray, other, otherEvicted);
    this.recomputeMs = new Float64Array(subArray.nodes.length);
    const candidates = new Map(subArray.maps.map((map) => [map.name, candidateOf(map)]));
    this.lineage = new Lineage(candidates, "mended");
    const { forwardCount, nodes } = subArray;
    const backwardBytes = this.half.bytes(this.evicted).subarray(0, nodes.length - forwardCount);
    this.peakEnd = forwardCount + (peakInterval(backwardBytes, limitBytes)?.last ?? -1) + 1;
  }

  run(): HalfPlan {
    const maps = new Map(this.subArray.maps.map((map) => [map.name, map]));
    const { remaining } = this.lineage;
    while (remaining.size && this.peak() > this.limitBytes) {
      const longest = [...remaining.keys()]
        .map((name) => maps.get(name) as FeatureMap)
        .reduce((a, z) => (a.inactiveMs >= z.inactiveMs ? a : z));
      const best = bestOf([...remaining.values()].filter(({ row }) => maps.get(row.name)?.fixed === null));
      const placed = new Map(this.half.placed);
      const swap = this.overhead(longest, longest.firstBackwardAccess);
      if (!best || swap.overheadMs < best.totalMs) {
        this.swaps.push(swap);
        this.evicted.set(longest.name, { prompt: swap.prompt });
        remaining.delete(longest.name);
        continue;
      }
      this.unplace(placed);
      this.evicted.set(best.row.name, { prompt: null });
      this.lineage.recompute(best);
      this.updatePrompts();
    }
    const stallMs = this.swaps.reduce((sum, { overheadMs }) => sum + overheadMs, 0);
    const peakBytes = this.peak();
    return {
      evicted: this.evicted,
      swaps: this.swaps,
      order: this.half.order(),
      peakBytes,
      feasible: peakBytes <= this.limitBytes,
      addedMs: this.recomputeMs.reduce((sum, ms) => sum + ms, stallMs),
    };
  }

  private peak(): number {
    return this.half.bytes(this.evicted).reduce((most, one) => Math.max(most, one), 0);
  }

  private overhead(map: FeatureMap, deadline: number): Swap {
    const { half, limitBytes, peakEnd, recomputeMs, swaps, evicted } = this;
    return swapOverhead(map, deadline, { half, limitBytes, peakEnd, recomputeMs, swaps, evicted });
  }

  private unplace(placed: ReadonlyMap<number, number>): void {
    this.half.placed.clear();
    for (const [rank, count] of placed) this.half.placed.set(rank, count);
  }

  /**
   * What is computed again takes time before its first backward use, and needs what is swapped back before: all swaps are
   * scheduled anew, those of the latest deadlines first (mutwo.md 8; the paper does not give this algorithm).
   */
  private updatePrompts(): void {
    const deadlineOf = this.lineage.deadlines(this.recomputeMs);
    const maps = this.swaps.map(({ map }) => map).sort((a, z) => deadlineOf(z) - deadlineOf(a));
    this.half.placed.clear();
    for (const { name } of maps) this.evicted.delete(name);
    this.swaps = [];
    for (const map of maps) {
      const swap = this.overhead(map, deadlineOf(map));
      this.swaps.push(swap);
      this.evicted.set(map.name, { prompt: swap.prompt });
    }
  }
}

/**
 * What leaves of the first sub-array's feature maps so that its backward phase beside the second one's forward phase fits
 * the limit, by μ-TWO's Algorithms B, C and G. `otherEvicted` is what leaves of the second one's.
 */
export const halfPlan = (subArray: SubArray, other: SubArray, otherEvicted: Evicted, limitBytes: number): HalfPlan =>
  new Policy(subArray, other, otherEvicted, limitBytes).run();

/** Rounds after which plans that still change are taken as they are. */
const mostRounds = 8;

/**
 * The plans of all schedules [BW1, FW2], [BW2, FW3], … of sub-arrays in a ring; of a pair these are [BW1, FW2] and
 * [BW2, FW1]. Each needs what the next one decides, which the paper leaves open: they are made in turn until none changes
 * (mutwo.md 12).
 */
export function ringPlan(subArrays: readonly SubArray[], limitBytes: number): HalfPlan[] {
  const plans: HalfPlan[] = [];
  for (let round = 0, before = ""; ; round++) {
    subArrays.forEach((subArray, i) => {
      const next = (i + 1) % subArrays.length;
      plans[i] = halfPlan(subArray, subArrays[next] as SubArray, plans[next]?.evicted ?? new Map(), limitBytes);
    });
    const now = JSON.stringify(plans.map(({ evicted }) => [...evicted]));
    if (now === before || round === mostRounds) return plans;
    before = now;
  }
}
