import type { ActivationRow } from "../../memory/activation-rows.js";

/** What Algorithm C must know of the step, and of what was decided before. */
export interface Timetable {
  readonly nodeMs: ArrayLike<number>;
  /** Time of the recomputations right before each node, ms. */
  readonly recomputeMs: ArrayLike<number>;
  /** Rank of the first node of the backward graph. */
  readonly firstBackward: number;
  /** Rank of the first node after the peak interval: no copy back begins before it. */
  readonly peakEnd: number;
}

/** The swap that was scheduled last: where its copy back begins, and how long that takes. */
export interface Prompt {
  readonly rank: number;
  readonly ms: number;
}

/** What a swap costs, and the node at which its copy back begins. */
export interface SwapOverhead {
  readonly overheadMs: number;
  readonly prompt: number;
  /** Which case of the paper it is. */
  readonly case: "1(a)" | "1(b)" | "2(b)" | "3";
}

const timeAt = ({ nodeMs, recomputeMs }: Timetable, rank: number): number =>
  (nodeMs[rank] as number) + (recomputeMs[rank] as number);

/**
 * μ-TWO's Algorithm C for one model, to the letter: the copy back hides behind the backward nodes that precede
 * `deadline`, from the end of the peak interval on, and where the channel is not taken by the swap scheduled last. There
 * is no forward work of another model to hide behind (case 2(a)). The prompt is one node earlier than the last one that
 * hides the copy, as printed (mutwo.md 13.4). The time left of the copy in flight is counted from its own prompt.
 */
export function swapOverhead(
  { swapMs }: Pick<ActivationRow, "swapMs">,
  deadline: number,
  last: Prompt,
  timetable: Timetable,
): SwapOverhead {
  const { recomputeMs, firstBackward, peakEnd } = timetable;
  let left = Math.max(0, swapMs - (recomputeMs[deadline] as number));
  if (deadline < peakEnd) {
    if (deadline < last.rank) return { overheadMs: left, prompt: deadline, case: "1(a)" };
    let inFlight = last.ms;
    for (let rank = last.rank; rank < deadline; rank++) inFlight -= timeAt(timetable, rank);
    return { overheadMs: left + Math.max(0, inFlight), prompt: deadline, case: "1(b)" };
  }
  let prompt = Math.min(deadline - 1, last.rank);
  while (left > 0 && prompt >= Math.max(peakEnd, firstBackward)) left -= timeAt(timetable, prompt--);
  return { overheadMs: Math.max(0, left), prompt: Math.max(prompt, firstBackward), case: left > 0 ? "3" : "2(b)" };
}
