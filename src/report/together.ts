import { few, formatBytes, formatCount, formatDuration, formatMs, formatPercent } from "../format.js";
import type { Run } from "../run/run.js";
import type { Arranged, Together } from "../run/together.js";

/** Steps of each model that the answer is for. */
const steps = 10_000;

const words: Readonly<Record<Arranged["arrangement"], string>> = {
  "side-by-side": "side by side",
  fused: "fused",
  multiplexed: "μ-TWO",
};

/** The time of a joint step, ms: measured, else predicted; null where neither is known. */
const timeOf = ({ measuredMs, predictedMs }: Arranged): number | null => measuredMs ?? predictedMs;

/** One way of training the models: a row of the answer. */
export interface AnswerRow {
  readonly what: string;
  readonly how: string;
  /** For 10 000 steps of every model. */
  readonly hours: string;
  readonly step: string;
  /** With how far it is from what was measured. */
  readonly predicted: string;
  /** What the plan adds to the step, as predicted. */
  readonly added: string;
  readonly faster: string;
  readonly peak: string;
  readonly executed: string;
}

/** How models are put together, in words: `8 in 4 lanes`, `2 of 4`. */
function howOf({ arrangement, subArrays, lanes }: Arranged): string {
  const sizes = new Map<number, number>();
  for (const { length } of subArrays) sizes.set(length, (sizes.get(length) ?? 0) + 1);
  const arrays = [...sizes].map(([size, count]) => `${count} × ${size}`).join(" + ");
  const atOnce = Math.min(lanes, subArrays.length);
  // a lane more for each: what the backward phase does not wait for
  const more = lanes > subArrays.length ? ", gradients of parameters and updates beside the backward phase" : "";
  const beside = `${atOnce > 1 ? `${atOnce} at a time` : "one at a time"}${more}`;
  if (arrangement === "side-by-side") return `${subArrays.length} models, ${beside}`;
  return subArrays.length > 1 ? `sub-arrays of ${arrays}, ${beside}` : `${subArrays[0]?.length} models as one${more}`;
}

/** Every way of training the models that is known, the slowest first: each its own step, then together. */
export function answerRows({ alone, arranged, executed }: Together): AnswerRow[] {
  const chosen = bestOf(arranged, executed);
  return [
    {
      what: "one after another",
      how: "each model's own step",
      hours: formatDuration(steps * alone.stepMs),
      step: alone.estimated ? "–" : formatMs(alone.stepMs),
      predicted: alone.estimated ? formatMs(alone.stepMs) : "–",
      added: "–",
      faster: "1 ×",
      peak: formatBytes(alone.peakBytes),
      executed: "",
    },
    ...arranged.map((one): AnswerRow => {
      const ms = timeOf(one);
      return {
        what: words[one.arrangement],
        how: howOf(one),
        hours: ms === null ? (one.why ?? "–") : formatDuration(steps * ms),
        step: one.measuredMs === null ? "–" : formatMs(one.measuredMs),
        predicted: predictedText(one),
        added: addedText(one),
        faster: ms === null ? "–" : times(alone.stepMs / ms),
        peak:
          one.plannedPeakBytes === null
            ? formatBytes(one.peakBytes ?? 0)
            : `${formatBytes(one.plannedPeakBytes)} (${formatBytes(one.peakBytes ?? 0)} unplanned)`,
        executed: one !== chosen ? "" : one.why === undefined ? "yes" : "without a plan",
      };
    }),
  ];
}

/** A predicted time, and how far from the measured one it is. */
function predictedText({ predictedMs, measuredMs }: Arranged): string {
  if (predictedMs === null) return "–";
  const off = measuredMs ? ` (${signed(predictedMs / measuredMs - 1)})` : "";
  return `${formatMs(predictedMs)}${off}`;
}

/** What a plan adds, as predicted, and its share of the step without it. */
function addedText({ addedMs, unplannedMs }: Arranged): string {
  if (addedMs === null) return "–";
  return `${formatMs(addedMs)}${unplannedMs ? ` (${signed(addedMs / unplannedMs)})` : ""}`;
}

const signed = (share: number): string => `${share < 0 ? "−" : "+"}${formatPercent(Math.abs(share))}`;

const times = (ratio: number): string => `${ratio.toFixed(ratio >= 10 ? 0 : 2)} ×`;

/** What was executed, of several of one arrangement the fastest. */
const bestOf = (arranged: readonly Arranged[], executed: Together["executed"]): Arranged | undefined =>
  arranged.find((one) => one.executed && timeOf(one) !== null) ??
  arranged
    .filter(({ arrangement }) => arrangement === executed)
    .reduce<Arranged | undefined>(
      (a, z) => (a && (timeOf(a) ?? Number.POSITIVE_INFINITY) <= (timeOf(z) ?? Number.POSITIVE_INFINITY) ? a : z),
      undefined,
    );

/** The answer in a sentence without a full stop. */
export function answerLine({ trials, alone, arranged, executed }: Together): string {
  const chosen = bestOf(arranged, executed);
  const ms = chosen && timeOf(chosen);
  const models = `${trials.length} models, ${formatCount(steps)} steps each: ${formatDuration(steps * alone.stepMs)} one after another`;
  if (!chosen || ms === null || ms === undefined) return `${models}; no way of training them in one step fits`;
  const ratio = alone.stepMs / ms;
  const said = ratio >= 1 ? `${ratio.toFixed(2)} times as fast` : `${(1 / ratio).toFixed(2)} times as long`;
  const how = `${words[executed]} in one step (${howOf(chosen)})`;
  return `${models}, ${formatDuration(steps * ms)} ${how}: ${said}${chosen.measuredMs === null ? ", predicted" : ""}`;
}

/** Joint steps that are this much faster than one model after another are worth it. */
const worthwhile = 1.02;

/** What to do with the models, in a sentence without a full stop; empty where no step of all of them can run. */
export function adviceLine({ trials, alone, arranged, executed, sameAsAlone }: Together): string {
  const chosen = bestOf(arranged, executed);
  const ms = chosen && timeOf(chosen);
  if (!chosen || ms === null || ms === undefined) return "";
  const said = chosen.measuredMs === null ? " (predicted)" : "";
  const [apart, at] = [steps * alone.stepMs, steps * ms].map(formatDuration);
  if (alone.stepMs < worthwhile * ms)
    return `what to do: train the ${trials.length} models one after another; in one step they would take ${at} instead of ${apart}${said}`;
  const isSame = sameAsAlone && (sameAsAlone.worstRelativeError ?? 1) < mostRounding;
  const same = isSame ? ", and each learns what it learns alone" : "";
  return `what to do: train all ${trials.length} models at once, ${words[executed]}: 10 000 steps of each take ${at} instead of ${apart}${said}, in ${formatBytes(chosen.plannedPeakBytes ?? chosen.peakBytes ?? 0)} of memory${same}`;
}

/** What the multiplexed plan costs beside the fastest step without a plan, in a sentence without a full stop; empty without one. */
export function extraLine({ arranged }: Together): string {
  const one = arranged.find(({ arrangement, addedMs }) => arrangement === "multiplexed" && addedMs !== null);
  const ms = one && timeOf(one);
  const free = arranged
    .filter(({ arrangement, unplannedMs }) => arrangement !== "multiplexed" && unplannedMs !== null)
    .reduce<Arranged | undefined>(
      (a, z) => (a && (a.unplannedMs as number) <= (z.unplannedMs as number) ? a : z),
      undefined,
    );
  if (!one || !ms || !free?.unplannedMs || one.plannedPeakBytes === null) return "";
  const share = ms / free.unplannedMs - 1;
  const told = `${formatMs(Math.abs(ms - free.unplannedMs))} ${share < 0 ? "less" : "more"} (${signed(share)}${one.measuredMs === null ? ", predicted" : ""})`;
  const peak = free.peakBytes ? ` at ${formatPercent(one.plannedPeakBytes / free.peakBytes)} of its peak` : "";
  return `μ-TWO as planned takes ${told} than the fastest step without a plan, ${words[free.arrangement]} (${howOf(free)}, ${formatMs(free.unplannedMs)})${peak}`;
}

/** A way to cut the models into sub-arrays: a row of a table. */
export interface PartitionText {
  /** Models in each sub-array. */
  readonly sizes: string;
  /** Whether it was taken, fits, does not, or why it was not simulated. */
  readonly verdict: string;
  readonly step: string;
  readonly added: string;
  readonly peak: string;
  readonly decisions: string;
}

/** The partitions that were simulated, in the order in which they were. */
export function partitionRows({ partitions = [] }: Together): PartitionText[] {
  return partitions.map((row): PartitionText => {
    const sizes = row.sizes.join(" + ");
    if ("refused" in row) return { sizes, verdict: row.refused, step: "–", added: "–", peak: "–", decisions: "–" };
    const { stepMs, addedMs, peakBytes, unplannedBytes, hostBytes, planner, recomputed, swapped } = row;
    const host = hostBytes ? `, ${formatBytes(hostBytes)} on the host` : "";
    return {
      sizes,
      verdict: row.chosen ? "taken" : row.feasible ? "slower" : "over the budget",
      step: formatMs(stepMs),
      added: formatMs(addedMs),
      peak:
        peakBytes === unplannedBytes
          ? formatBytes(peakBytes)
          : `${formatBytes(peakBytes)} (${formatBytes(unplannedBytes)} unplanned)`,
      decisions:
        planner === null ? "everything kept" : `${recomputed} recomputed, ${swapped} swapped${host} (${planner})`,
    };
  });
}

/** How many of the models fit into the memory, in a sentence without a full stop; empty where there is no limit. */
export function fitsLine({ fits, trials }: Together): string {
  if (!fits) return "";
  const { limitBytes, unplanned, planned, atLeast, hostBytes } = fits;
  const few = planned < trials.length ? `: fewer than the ${trials.length} that are asked for` : "";
  const onHost = hostBytes ? `, with ${formatBytes(hostBytes)} of those that wait in host memory` : "";
  return `${formatBytes(limitBytes)} hold ${unplanned} such model${unplanned === 1 ? "" : "s"} without a plan where all run at the same time, and ${atLeast ? "at least " : ""}${planned} with one where they run one after the other in one step${onHost}${few}`;
}

/** Sums in another order differ by less, in TF32 too. */
const mostRounding = 0.02;

/** Whether every model computed what it computes alone, in a sentence without a full stop; empty where nothing was. */
export function sameLine({ sameAsAlone, trials }: Together): string {
  if (!sameAsAlone) return "";
  const { models, compared, bitwise, worstRelativeError, worst } = sameAsAlone;
  const whose =
    models.length < trials.length
      ? `${models.length} of the ${trials.length} models were compared`
      : "every model was compared";
  const what = `${formatCount(compared)} losses, gradients and states of two steps`;
  if (bitwise) return `${whose} with itself alone: ${what} are equal in every bit`;
  const error = worstRelativeError === null ? "no finite number" : worstRelativeError.toExponential(1);
  const isRounding = worstRelativeError !== null && worstRelativeError < mostRounding;
  const why = isRounding ? "a fused kernel sums in another order" : "that is more than rounding: do not train them so";
  return `${whose} with itself alone: ${what} differ by at most ${error} (${worst}); ${why}`;
}

/** What is to be known of a joint run, each a sentence without a full stop. */
export const togetherLines = (together: Together): string[] =>
  [answerLine, adviceLine, extraLine, fitsLine, sameLine]
    .map((line) => line(together))
    .filter(Boolean)
    .concat(together.notes);

/** What the report's section shows of several models; nothing of a run of one. */
export function togetherView({ together }: Run): object {
  if (!together) return {};
  const { trials } = together;
  const bases = together.arranged.flatMap(({ basis, ...one }) =>
    basis ? [`${words[one.arrangement]} (${howOf(one)}): ${basis}`] : [],
  );
  return {
    answer: answerLine(together),
    rows: answerRows(together),
    facts: [adviceLine, extraLine, fitsLine, sameLine]
      .map((line) => line(together))
      .filter(Boolean)
      // μ keeps its size
      .map((line) => line.replace(/^[a-z]/, (letter) => letter.toUpperCase())),
    bases: bases.length ? bases : null,
    partitions: together.partitions ? partitionRows(together) : null,
    isPartitioned: together.partitions?.some((row) => "chosen" in row && row.chosen),
    notes: together.notes.length ? together.notes : null,
    models: trials.map(({ name, path, optimizer, loss, seed, varied }) => ({
      name,
      file: few([path.split("/").at(-1) ?? path]),
      varied: Object.entries(varied)
        .map(([key, value]) => `${key} ${value}`)
        .join(", "),
      optimizer,
      loss,
      seed,
    })),
  };
}
