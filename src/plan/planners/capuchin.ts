import { formatBytes, formatMs } from "../../format.js";
import type { ActivationRow } from "../../memory/activation-rows.js";
import { peakInterval } from "../../memory/peak-interval.js";
import { hiddenSwapMs } from "../link.js";
import type { Planner, SwapPlacement } from "../plan.js";
import { type Draft, Drafts, type Taken } from "./drafts.js";
import { bestOf, type Candidate, candidateOf, Lineage } from "./lineage.js";

/** Time that is left between both copies of a swap, ms: from the end of the one out to the latest begin of the one back. */
export const freeTime = ({ inactiveMs, swapMs }: Pick<ActivationRow, "inactiveMs" | "swapMs">): number =>
  inactiveMs - 2 * swapMs;

/**
 * Capuchin (Peng et al. 2020). Of the activations that are alive and idle in the peak period, those with the longest free
 * time are swapped first, as long as their copies are hidden; then in each step the swap of the longest free time or the
 * recomputation with the most bytes for its time, whichever costs less, until what is freed makes up for what is too
 * much. Where that was too little, as the exact timeline tells, the same again with what is still too much, as Capuchin
 * does from one measured step to the next. Copies back begin after the peak period.
 *
 * Its loop over recomputations is μ-TWO's Algorithms E and F with each one's own time counted (lineage.ts). That a source
 * may be gone before it is needed, which Capuchin checks, is charged by the timeline: sources live as long as needed.
 */
class Policy {
  private readonly lineage: Lineage;
  private swappable: number[];
  private readonly byName: ReadonlyMap<string, number>;
  private now: Draft;
  private from = 0;
  private until = 0;

  constructor(
    private readonly drafts: Drafts,
    private readonly goalBytes: number,
  ) {
    const { rows, allowed } = drafts;
    this.now = drafts.empty;
    this.lineage = new Lineage(
      new Map(rows.filter((_, i) => allowed[i]?.recompute).map((row) => [row.name, candidateOf(row)])),
      "mended",
    );
    this.byName = new Map(rows.map(({ name }, i) => [name, i]));
    this.swappable = [...rows.keys()].filter((i) => allowed[i]?.swap);
    this.swappable.sort((a, z) => freeTime(this.row(z)) - freeTime(this.row(a)) || a - z);
  }

  /** The drafts from one simulated step to the next; the last one meets the goal if any does. */
  run(): Draft[] {
    const found = [this.now];
    while (this.now.peakBytes > this.goalBytes) {
      const period = peakInterval(this.now.liveBytes, this.goalBytes);
      if (!period) break;
      [this.from, this.until] = [period.first, period.last];
      const before = this.now.taken.length;
      this.save(this.now.peakBytes - this.goalBytes);
      if (this.now.taken.length === before) break;
      found.push(this.now);
    }
    return found;
  }

  private row(index: number): ActivationRow {
    return this.drafts.rows[index] as ActivationRow;
  }

  private isIdle(index: number): boolean {
    const { lastForwardAccess, firstBackwardAccess } = this.row(index);
    return lastForwardAccess < this.until && this.from < firstBackwardAccess;
  }

  /** Takes decisions that free so many bytes, counted one for one. */
  private save(bytes: number): void {
    let left = bytes;
    // free time only shrinks along the list
    const hidden = this.swappable.filter((i) => this.isIdle(i) && freeTime(this.row(i)) >= 0);
    while (hidden.length && left > 0) {
      const some = this.enough(hidden, left);
      hidden.splice(0, some.length);
      const away = this.drafts.draft([...this.now.taken, ...some.map((index) => this.swap(index))]);
      const hiddenMs = some.reduce((sum, index) => sum + hiddenSwapMs(this.row(index).swapMs), 0);
      const waitedMs = away.totalMs - this.now.totalMs - hiddenMs;
      if (waitedMs > 1e-9 * this.now.totalMs || away.hostBytes > this.drafts.mostHostBytes) continue;
      left -= this.take(some, away);
    }
    while (left > 0) {
      const freed = this.cheapest(left);
      if (!freed) return;
      left -= freed;
    }
  }

  /** The first of a list that free so many bytes, in a large step several at once, else one. */
  private enough(list: readonly number[], bytes: number): number[] {
    const count = Math.ceil(this.drafts.rows.length / this.drafts.steps);
    let left = bytes;
    return list.slice(0, count).filter((index) => {
      const isWanted = left > 0;
      left -= this.row(index).memoryBytes;
      return isWanted;
    });
  }

  /** Takes the cheaper of a swap and a recomputation, in a large step more of its kind; returns the bytes freed. */
  private cheapest(bytes: number): number {
    const candidate = this.nextRecompute();
    const idle = this.swappable.filter((i) => this.isIdle(i));
    const [longest] = idle;
    const swap = (list: readonly number[]): Draft =>
      this.drafts.draft([...this.now.taken, ...list.map((index) => this.swap(index))]);
    const away = longest === undefined ? undefined : swap([longest]);
    const swapMs =
      away && away.hostBytes <= this.drafts.mostHostBytes ? away.totalMs - this.now.totalMs : Number.POSITIVE_INFINITY;
    if (candidate && candidate.totalMs < swapMs) return this.recomputeSome(bytes);
    if (swapMs === Number.POSITIVE_INFINITY) return 0;
    const some = this.enough(idle, bytes);
    return this.take(some, swap(some));
  }

  private nextRecompute(): Candidate | undefined {
    return bestOf(
      [...this.lineage.remaining.values()].filter(({ row }) => this.isIdle(this.byName.get(row.name) as number)),
    );
  }

  private recomputeSome(bytes: number): number {
    const count = Math.ceil(this.drafts.rows.length / this.drafts.steps);
    const decisions: Taken[] = [];
    let left = bytes;
    while (decisions.length < count && left > 0) {
      const candidate = this.nextRecompute();
      if (!candidate) break;
      const index = this.byName.get(candidate.row.name) as number;
      decisions.push(this.recompute(candidate, index));
      this.lineage.recompute(candidate);
      left -= this.row(index).memoryBytes;
    }
    return this.take(
      decisions.map(({ index }) => index),
      this.drafts.draft([...this.now.taken, ...decisions]),
    );
  }

  private take(indices: readonly number[], draft: Draft): number {
    this.now = draft;
    const gone = new Set(indices);
    for (const index of indices) this.lineage.remaining.delete(this.row(index).name);
    this.swappable = this.swappable.filter((index) => !gone.has(index));
    return indices.reduce((sum, index) => sum + this.row(index).memoryBytes, 0);
  }

  private swap(index: number): Taken {
    const row = this.row(index);
    const earliest = Math.min(row.firstBackwardAccess, this.until + 1);
    const why = (placement?: SwapPlacement): string =>
      `${formatBytes(row.memoryBytes)} are free; ${formatMs(freeTime(row))} remain between two copies of ${formatMs(row.swapMs)} (${row.swapMeasured ? "measured" : "simulated"}), away before ${placement?.outDone}, back from ${placement?.prefetch} on`;
    return { index, action: "swap", earliest, ratio: row.recomputeRatio, why };
  }

  private recompute({ ratio, totalMs }: Candidate, index: number): Taken {
    const { memoryBytes } = this.row(index);
    const why = (): string =>
      `${formatBytes(memoryBytes)} are free for ${formatMs(totalMs)} of recomputation, the most bytes for each ms, and less than the swap of the longest free time costs`;
    return { index, action: "recompute", ratio, why };
  }
}

/** Capuchin's policy for one step, judged as all planners are; without a budget the least memory it reaches in the time. */
export const capuchin: Planner = (problem) => {
  const drafts = new Drafts(problem);
  const all: Draft[] = [drafts.empty];
  const within = (goalBytes: number): Draft | undefined => {
    const found = new Policy(drafts, goalBytes).run();
    all.push(...found);
    const last = found.at(-1) as Draft;
    return last.peakBytes <= goalBytes && drafts.isAdmissible(problem, last) ? last : undefined;
  };
  // what it reaches at most: goals lower and lower until nothing more is found
  const lowest = drafts.empty.peakBytes;
  for (let share = 0.9; share > 0; share -= 0.1) if (!within(share * lowest)) break;
  return drafts.plan(problem, within, all);
};
