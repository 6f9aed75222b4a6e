import { few, formatBytes, formatCount, formatDuration, formatMs } from "../format.js";
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
  readonly predicted: string;
  readonly faster: string;
  readonly peak: string;
  readonly executed: string;
}

/** How models are put together, in words: `8 in 4 lanes`, `2 of 4`. */
function howOf({ arrangement, subArrays, lanes }: Arranged): string {
  const sizes = new Map<number, number>();
  for (const { length } of subArrays) sizes.set(length, (sizes.get(length) ?? 0) + 1);
  const arrays = [...sizes].map(([size, count]) => `${count} × ${size}`).join(" + ");
  const beside = lanes > 1 ? `${lanes} at a time` : "one at a time";
  if (arrangement === "side-by-side") return `${subArrays.length} models, ${beside}`;
  return subArrays.length > 1 ? `sub-arrays of ${arrays}, ${beside}` : `${subArrays[0]?.length} models as one`;
}

/** Every way of training the models that is known, the slowest first: each its own step, then together. */
export function answerRows({ alone, arranged, executed }: Together): AnswerRow[] {
  const chosen = bestOf(arranged, executed);
  return [
    {
      what: "one after another",
      how: "each model's own step",
      hours: formatDuration(steps * alone.stepMs),
      step: formatMs(alone.stepMs),
      predicted: "–",
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
        predicted: one.predictedMs === null ? "–" : formatMs(one.predictedMs),
        faster: ms === null ? "–" : times(alone.stepMs / ms),
        peak:
          one.plannedPeakBytes === null
            ? formatBytes(one.peakBytes ?? 0)
            : `${formatBytes(one.plannedPeakBytes)} (${formatBytes(one.peakBytes ?? 0)} unplanned)`,
        executed: one === chosen ? "yes" : "",
      };
    }),
  ];
}

const times = (ratio: number): string => `${ratio.toFixed(ratio >= 10 ? 0 : 2)} ×`;

/** What was executed, of several of one arrangement the fastest. */
const bestOf = (arranged: readonly Arranged[], executed: Together["executed"]): Arranged | undefined =>
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
  if (!chosen || ms === null || ms === undefined) return `${models}; ${words[executed]} no step ran`;
  const ratio = alone.stepMs / ms;
  const said = ratio >= 1 ? `${ratio.toFixed(2)} times as fast` : `${(1 / ratio).toFixed(2)} times as long`;
  const how = `${words[executed]} in one step (${howOf(chosen)})`;
  return `${models}, ${formatDuration(steps * ms)} ${how}: ${said}${chosen.measuredMs === null ? ", predicted" : ""}`;
}

/** How many of the models fit into the memory, in a sentence without a full stop; empty where there is no limit. */
export function fitsLine({ fits, trials }: Together): string {
  if (!fits) return "";
  const { limitBytes, unplanned, planned } = fits;
  const few = planned < trials.length ? `: fewer than the ${trials.length} that are asked for` : "";
  return `${formatBytes(limitBytes)} hold ${unplanned} such model${unplanned === 1 ? "" : "s"} at once without a plan, and ${planned} in one step with one, one after the other${few}`;
}

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
  return `${whose} with itself alone: ${what} differ by at most ${error} (${worst}); a fused kernel sums in another order`;
}

/** What is to be known of a joint run, each a sentence without a full stop. */
export const togetherLines = (together: Together): string[] =>
  [answerLine(together), fitsLine(together), sameLine(together), ...together.notes].filter(Boolean);

/** What the report's section shows of several models; nothing of a run of one. */
export function togetherView({ together }: Run): object {
  if (!together) return {};
  const { trials } = together;
  return {
    answer: answerLine(together),
    rows: answerRows(together),
    facts: [fitsLine(together), sameLine(together)].filter(Boolean),
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
