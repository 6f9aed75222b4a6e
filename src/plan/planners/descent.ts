import { formatBytes, formatMs } from "../../format.js";
import type { ActivationRow } from "../../memory/activation-rows.js";
import type { SwapPlacement } from "../plan.js";
import type { Draft, Drafts, Taken } from "./drafts.js";
import { bestOf, type Candidate, candidateOf, Lineage } from "./lineage.js";

/**
 * How many times as many nodes as the step a plan may have. In an unrolled recurrence each block runs all steps before
 * it again: freeing all of them would take the square of their number.
 */
const mostGrowth = 4;
/** Without a budget, a copy back may not begin where more than this share of the present peak is live. */
const crowdedShare = 0.9;
/** How many swaps are tried in one round until one frees memory at the peak. */
const mostTries = 3;

/** What becomes of a copy that a block makes of an activation: it is there for its own use alone, or for later blocks too. */
export type Again = "recompute" | "hold";

/**
 * Algorithm B, mended: a way down from the unplanned step's peak. In each round the swap of the activation that is idle
 * longest and the recomputation with the best ratio are simulated exactly, among those that are idle at the peak
 * (mutwo.md 13.8, 13.9); the swap is taken if it costs less. Algorithm C's peak interval is where more is live than the
 * goal: a copy back begins after it, reached_peak follows for each activation from where it is needed (13.6), and within
 * these limits the channels' queues place all copies anew each time (swap-placement.ts; 13.4, 13.5).
 *
 * A copy that is held is made once, whoever needs it. Candidates are still ranked by what independent blocks would cost:
 * the longer the run of activations that are made again, the dearer one more of it, so that some in between are kept.
 */
export class Descent {
  private readonly lineage: Lineage;
  private readonly swappable: Set<number>;
  private readonly byName: ReadonlyMap<string, number>;
  /** Those that are swapped, which stay candidates for recomputation. */
  private readonly away = new Set<string>();
  private taken: readonly Taken[] = [];
  /** Candidates that are idle at the peak that was looked at last. */
  private idle: Candidate[] = [];
  private idlePeak = -1;
  /** Where plans are executed in another order, nodes of several members are at the peak together: their ranks. */
  private peaks: readonly number[] = [];

  constructor(
    private readonly drafts: Drafts,
    private readonly goalBytes: number,
    private readonly again: Again,
  ) {
    const { rows, allowed } = drafts;
    this.lineage = new Lineage(
      new Map(rows.filter((_, i) => allowed[i]?.recompute).map((row) => [row.name, candidateOf(row)])),
      "mended",
    );
    this.swappable = new Set(rows.keys());
    rows.forEach((_, i) => void (allowed[i]?.swap || this.swappable.delete(i)));
    this.byName = new Map(rows.map(({ name }, i) => [name, i]));
  }

  /** The drafts on the way to the goal, or as far as it goes; the unplanned step first. */
  run(): Draft[] {
    const { drafts } = this;
    const found = [drafts.empty];
    let now = drafts.empty;
    while (now.peakBytes > this.goalBytes && now.nodeCount <= mostGrowth * drafts.empty.nodeCount) {
      const next = this.evict(now) ?? this.postpone(now) ?? this.convert(now) ?? this.release(now);
      if (!next) break;
      this.taken = next.taken;
      found.push(next);
      now = next;
    }
    return found;
  }

  private row(index: number): ActivationRow {
    return this.drafts.rows[index] as ActivationRow;
  }

  /** Takes one activation more, or in a large step some of the same kind. */
  private evict(now: Draft): Draft | undefined {
    const peak = this.peakOf(now);
    const again = this.nextRecompute(peak);
    const remade = again && this.drafts.draft([...this.taken, again.decision]);
    let swap = this.nextSwap(now, peak);
    for (let tries = 0; swap && (tries < mostTries || !remade); tries++) {
      const away = this.drafts.draft([...this.taken, swap]);
      if (remade && away.totalMs >= remade.totalMs) break;
      this.swappable.delete(swap.index);
      if (this.isUseful(away, now, peak)) {
        this.swapAway(swap);
        return this.more(away, now, peak);
      }
      swap = this.nextSwap(now, peak);
    }
    if (!again || !remade) return undefined;
    this.take(again.candidate);
    return this.more(remade, now, peak);
  }

  /** The draft with as many further decisions like its last one as are taken at once, for what is still too much. */
  private more(draft: Draft, now: Draft, peak: number): Draft {
    const taken = [...draft.taken];
    const last = taken.at(-1) as Taken;
    let bytes = this.row(last.index).memoryBytes;
    const count = Math.ceil(this.drafts.rows.length / this.drafts.steps);
    for (let i = 1; i < count && bytes < now.peakBytes - this.goalBytes; i++) {
      const again = last.action !== "swap" ? this.nextRecompute(peak) : undefined;
      const next = again?.decision ?? (last.action === "swap" ? this.nextSwap(now, peak) : undefined);
      if (!next) break;
      if (again) this.take(again.candidate);
      else this.swapAway(next);
      this.swappable.delete(next.index);
      taken.push(next);
      bytes += this.row(next.index).memoryBytes;
    }
    return taken.length === draft.taken.length ? draft : this.drafts.draft(taken);
  }

  private take(candidate: Candidate): void {
    this.drop(candidate);
    this.lineage.recompute(candidate);
    this.swappable.delete(this.byName.get(candidate.row.name) as number);
  }

  /** Rank of the (first) node at the peak; a block counts as the node that it stands before. */
  private peakOf({ liveBytes }: Draft): number {
    let peak = 0;
    for (let rank = 0; rank < liveBytes.length; rank++)
      if ((liveBytes[rank] as number) > (liveBytes[peak] as number)) peak = rank;
    const others: number[] = [];
    if (this.drafts.isSteady)
      for (let rank = peak + 1; rank < liveBytes.length; rank++)
        if (liveBytes[rank] === liveBytes[peak]) others.push(rank);
    if (this.peaks.join() !== others.join()) this.idlePeak = -1;
    this.peaks = others;
    return peak;
  }

  private isIdle(index: number, peak: number): boolean {
    return this.idleAt(index, peak) !== undefined;
  }

  /** The rank at the peak at which an activation is idle. */
  private idleAt(index: number, peak: number): number | undefined {
    const { lastForwardAccess, firstBackwardAccess } = this.row(index);
    // what a block before node r needs is back already for all that r itself reads first
    const isIdle = (rank: number): boolean => lastForwardAccess < rank && rank < firstBackwardAccess;
    return isIdle(peak) ? peak : this.peaks.find(isIdle);
  }

  /** The best ratio among what is idle at a peak; who that is changes with the peak only, but for what is taken. */
  private nextRecompute(peak: number): { candidate: Candidate; decision: Taken } | undefined {
    if (this.idlePeak !== peak) {
      this.idlePeak = peak;
      this.idle = [...this.lineage.remaining.values()].filter(
        ({ row: { name } }) => !this.away.has(name) && this.isIdle(this.byName.get(name) as number, peak),
      );
    }
    const candidate = bestOf(this.idle);
    return candidate && { candidate, decision: this.recompute(candidate, peak, this.idle.length) };
  }

  private drop(candidate: Candidate | undefined): void {
    const at = candidate ? this.idle.indexOf(candidate) : -1;
    if (at >= 0) this.idle.splice(at, 1);
  }

  private swapAway({ index }: Taken): void {
    const { name } = this.row(index);
    this.away.add(name);
    this.drop(this.lineage.remaining.get(name));
  }

  private nextSwap(now: Draft, peak: number): Taken | undefined {
    let longest: number | undefined;
    for (const index of this.swappable)
      if (
        this.isIdle(index, peak) &&
        !(longest !== undefined && this.row(longest).inactiveMs >= this.row(index).inactiveMs)
      )
        longest = index;
    return longest === undefined ? undefined : this.swap(longest, now, peak);
  }

  private isUseful(draft: Draft, now: Draft, peak: number): boolean {
    const most = this.drafts.mostHostBytes;
    return draft.hostBytes <= most && (draft.liveBytes[peak] as number) < (now.liveBytes[peak] as number);
  }

  /** The choice of a candidate, with the reason: the node at the peak, and how many could have been chosen. */
  private recompute({ row: { name }, totalMs, ratio }: Candidate, peak: number, candidates: number): Taken {
    const index = this.byName.get(name) as number;
    const cost =
      this.again === "hold"
        ? `${formatMs(this.row(index).recomputeMs)} of recomputation by the first block that needs it`
        : `${formatMs(totalMs)} of recomputation`;
    const why = (): string => `${this.freed(index, peak)} for ${cost}, the best ratio of ${candidates} candidates`;
    return { index, action: this.again, ratio, why };
  }

  /** A swap that is back after the last node before its first backward use where too much is live. */
  private swap(index: number, { liveBytes, peakBytes }: Draft, peak: number): Taken {
    const { firstBackwardAccess, swapMs, swapMeasured, recomputeRatio } = this.row(index);
    const crowded = Math.max(this.goalBytes, this.goalBytes > 0 ? 0 : crowdedShare * peakBytes);
    let earliest = firstBackwardAccess;
    const first = this.idleAt(index, peak) ?? peak;
    while (earliest > first + 1 && (liveBytes[earliest - 1] as number) <= crowded) earliest--;
    const why = (placement?: SwapPlacement): string =>
      `${this.freed(index, peak)} for two copies of ${formatMs(swapMs)} (${swapMeasured ? "measured" : "simulated"}), away before ${placement?.outDone}, back from ${placement?.prefetch} on, which cost less time than the recomputation with the best ratio`;
    return { index, action: "swap", earliest, ratio: recomputeRatio, why };
  }

  private freed(index: number, peak: number): string {
    const { inactiveMs, memoryBytes } = this.row(index);
    return `idle for ${formatMs(inactiveMs)} across the peak at ${this.drafts.nodeName(peak)}: ${formatBytes(memoryBytes)} are free`;
  }

  /** μ-TWO's update_swap_prompts: what is back early at the peak comes back later. */
  private postpone(now: Draft): Draft | undefined {
    const peak = this.peakOf(now);
    const later = this.taken.map((one): Taken => {
      const at = this.idleAt(one.index, peak);
      return one.action === "swap" && at !== undefined && (one.earliest ?? 0) <= at
        ? { ...one, earliest: at + 1 }
        : one;
    });
    if (later.every((one, i) => one === this.taken[i])) return undefined;
    const draft = this.drafts.draft(later);
    return (draft.liveBytes[peak] as number) < (now.liveBytes[peak] as number) ? draft : undefined;
  }

  /** Where swaps queue for the channel to the host, the last ones are still there at the peak: made again instead. */
  private convert(now: Draft): Draft | undefined {
    const peak = this.peakOf(now);
    const count = Math.ceil(this.drafts.rows.length / this.drafts.steps);
    const queued = [...this.away].flatMap((name) => {
      const candidate = this.lineage.remaining.get(name);
      const index = this.byName.get(name) as number;
      return candidate && this.isIdle(index, peak) ? [{ candidate, index }] : [];
    });
    queued.sort((a, z) => this.row(z.index).lastForwardAccess - this.row(a.index).lastForwardAccess);
    const instead = new Map(
      queued.slice(0, count).map(({ candidate, index }) => [index, this.recompute(candidate, peak, queued.length)]),
    );
    if (!instead.size) return undefined;
    const draft = this.drafts.draft(this.taken.map((one) => instead.get(one.index) ?? one));
    if ((draft.liveBytes[peak] as number) >= (now.liveBytes[peak] as number)) return undefined;
    for (const { candidate } of queued.slice(0, count)) {
      this.away.delete(candidate.row.name);
      this.lineage.recompute(candidate);
    }
    return draft;
  }

  /** Copies that are held across the peak for later blocks are made for each of them instead, those that are needed last first. */
  private release(now: Draft): Draft | undefined {
    const peak = this.peakOf(now);
    const count = Math.ceil(this.drafts.rows.length / this.drafts.steps);
    const waiting = this.taken
      .filter(({ index, action }) => action === "hold" && peak < this.row(index).firstBackwardAccess)
      .sort((a, z) => this.row(z.index).firstBackwardAccess - this.row(a.index).firstBackwardAccess);
    for (let from = 0; from < waiting.length; from += count) {
      const alone = new Set(waiting.slice(from, from + count));
      const draft = this.drafts.draft(
        this.taken.map((one) => (alone.has(one) ? { ...one, action: "recompute" } : one)),
      );
      if ((draft.liveBytes[peak] as number) < (now.liveBytes[peak] as number)) return draft;
    }
    return undefined;
  }
}
