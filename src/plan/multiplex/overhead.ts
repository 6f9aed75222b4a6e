import { type Evicted, excess, type FeatureMap, type Half, type Prompt, type TimedNode } from "./half.js";

/** What a copy back hides behind. */
interface Cover {
  /** Rank of the backward node before which it must be back. */
  readonly deadline: number;
  /** How many of the forward nodes placed before the deadline stand behind the begin of the copy. */
  readonly lead: number;
  /** How many of those, the last ones, hide swaps of the same deadline that were scheduled before. */
  readonly taken: number;
  /** Ranks of the backward nodes that it hides behind, the last one first. */
  readonly behind: readonly number[];
}

/** A swap as it is scheduled: where its copy back begins, what it hides behind, and what is left of it. */
export interface Swap extends Cover {
  readonly map: FeatureMap;
  readonly prompt: Prompt;
  readonly overheadMs: number;
  /** Which case of the paper it is. */
  readonly case: "1(a)" | "1(b)" | "2(a)" | "2(b)" | "3";
}

/** What Algorithm C must know beside the schedule. */
export interface Surroundings {
  readonly half: Half;
  readonly limitBytes: number;
  /** Rank of the first backward node after the peak interval: no copy back begins before it. */
  readonly peakEnd: number;
  /** Time of the recomputations right before each node of the backward sub-array, ms. */
  readonly recomputeMs: Float64Array;
  /** The swaps that were scheduled before, the last one last. */
  readonly swaps: readonly Swap[];
  readonly evicted: Evicted;
}

/** Numbers of the forward nodes that a copy hides behind, in the schedule as it is. */
export const hidingAhead = (half: Half, { deadline, lead, taken }: Cover): number[] =>
  half.leadOf({ rank: deadline, lead }).slice(0, lead - taken);

const backwardMs = ({ half, recomputeMs }: Surroundings, rank: number): number =>
  (half.backward.nodes[rank] as TimedNode).ms + (recomputeMs[rank] as number);

/** Time that hides a copy back in the schedule as it is, ms. */
function hiddenMs(around: Surroundings, cover: Cover): number {
  const { half, recomputeMs } = around;
  let ms = recomputeMs[cover.deadline] as number;
  for (const rank of hidingAhead(half, cover)) ms += (half.forward.nodes[rank] as TimedNode).ms;
  for (const rank of cover.behind) ms += backwardMs(around, rank);
  return ms;
}

const covers = (around: Surroundings, swap: Swap): boolean =>
  hiddenMs(around, swap) + swap.overheadMs >= swap.map.swapMs - 1e-9;

const excessWith = ({ half, evicted, limitBytes }: Surroundings, { name }: FeatureMap, prompt: Prompt): number =>
  excess(half.bytes(new Map([...evicted, [name, { prompt }]])), limitBytes);

/**
 * Places one more forward node before the deadline, if that is safe: by Algorithm G it then takes no more bytes over the
 * limit than without it, and every swap scheduled before is covered as it was.
 */
function place(around: Surroundings, map: FeatureMap, { deadline, lead }: Cover): boolean {
  const { half, swaps } = around;
  if (half.placedCount >= half.forward.forwardCount) return false;
  const before = half.placed.get(deadline) ?? 0;
  const without = excessWith(around, map, { rank: deadline, lead });
  half.placed.set(deadline, before + 1);
  const isSafe =
    excessWith(around, map, { rank: deadline, lead: lead + 1 }) <= without &&
    swaps.every((swap) => covers(around, swap));
  if (!isSafe) half.placed.set(deadline, before);
  return isSafe;
}

/**
 * μ-TWO's Algorithm C with the other sub-array's forward nodes to hide behind, its defects mended (mutwo.md 6, 13.4, 13.5):
 * the forward nodes that hide the copy are placed before its deadline (case 2(a)), which shifts those of later deadlines
 * to later forward nodes; then it hides behind backward nodes from the end of the peak interval on. The prompt is the last
 * node that hides it. `half` keeps what is placed.
 *
 * What is safe is our reading: the paper checks "if peak memory is reduced", and says nothing of swaps that are shifted.
 */
export function swapOverhead(map: FeatureMap, deadline: number, around: Surroundings): Swap {
  const { half, peakEnd, swaps } = around;
  const last = swaps.at(-1);
  const isFree = !last || deadline < last.prompt.rank;
  const taken = half.placed.get(deadline) ?? 0;
  let cover: Cover = { deadline, lead: taken, taken, behind: [] };
  const left = (): number => Math.max(0, map.swapMs - hiddenMs(around, cover));
  if (deadline < peakEnd) {
    const prompt = { rank: deadline, lead: 0 };
    if (isFree) return { map, ...cover, prompt, overheadMs: left(), case: "1(a)" };
    let inFlight = last.map.swapMs;
    for (let rank = last.prompt.rank; rank < deadline; rank++) inFlight -= backwardMs(around, rank);
    return { map, ...cover, prompt, overheadMs: left() + Math.max(0, inFlight), case: "1(b)" };
  }
  while (left() > 0 && place(around, map, cover)) cover = { ...cover, lead: cover.lead + 1 };
  const first = Math.max(peakEnd, half.backward.forwardCount);
  for (let rank = (isFree ? deadline : last.prompt.rank) - 1; left() > 0 && rank >= first; rank--)
    cover = { ...cover, behind: [...cover.behind, rank] };
  const earliest = cover.behind.at(-1);
  const prompt = earliest === undefined ? { rank: deadline, lead: cover.lead } : { rank: earliest, lead: 0 };
  const overheadMs = left();
  const which = overheadMs > 0 ? "3" : cover.behind.length ? "2(b)" : "2(a)";
  return { map, ...cover, prompt, overheadMs, case: which };
}
