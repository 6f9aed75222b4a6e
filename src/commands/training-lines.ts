import { formatBytes, formatCount } from "../format.js";
import { bestText, variedText } from "../report/training-models.js";
import type { StepNews } from "../train/fit-options.js";
import type { EpochRow } from "../train/log.js";
import { inWords, samplesPerSecond } from "../train/log.js";
import type { ModelLabel } from "../train/train-courses.js";
import { endOf, type TrainedTrial, type Training } from "../train/training.js";
import type { Telling } from "./progress.js";

/** Four digits are as many as one compares. */
const digits = (value: number | null): string => (value === null ? "not finite" : String(Number(value.toPrecision(4))));

const speed = (samples: number): string =>
  `${samples >= 100 ? formatCount(samples) : samples.toPrecision(3)} samples/s`;

/** What the bar tells of a step. */
export const newsOf = ({ loss, samplesPerSecond: samples, leftMs, step, steps }: StepNews): Telling => ({
  note: `loss ${digits(loss)}, ${speed(samples)}`,
  leftMs: step < steps ? leftMs : 0,
});

/** What the bar tells of a step, where there are several models the least and the largest loss of those that go on. */
export function newsTeller(): (news: StepNews, model?: ModelLabel) => Telling {
  const last = new Map<string, StepNews>();
  return (news, model) => {
    if (!model) return newsOf(news);
    last.set(model.name, news);
    // those that have ended tell nothing any more
    for (const [name, { step }] of last) if (step < news.step - 1) last.delete(name);
    const sorted = [...last].sort(([, a], [, z]) => a.loss - z.loss);
    const [[least, { loss }], [most, { loss: largest }]] = [sorted[0], sorted.at(-1)] as [Last, Last];
    const { leftMs } = newsOf(news);
    const rest = last.size > 1 ? ` (${least}) to ${digits(largest)} (${most})` : ` (${least})`;
    return { note: `loss ${digits(loss)}${rest}`, ...(leftMs === undefined ? {} : { leftMs }) };
  };
}

type Last = [name: string, news: StepNews];

/** `m3 (lr=1e-3, seed=2)`. */
const labelOf = (model: ModelLabel): string => {
  const varied = variedText(model);
  return varied ? `${model.name} (${varied})` : model.name;
};

/** `loss 0.31, accuracy 0.97`. */
export const metricsText = (values: Readonly<Record<string, number | null>>): string =>
  Object.entries(values)
    .map(([name, value]) => `${name} ${digits(value)}`)
    .join(", ");

/** A line on an epoch that is done, of one of several models with its name. */
export function epochLine(
  { epoch, loss, samples, trainMs, validation }: EpochRow,
  epochs?: number,
  model?: ModelLabel,
): string {
  const of = epochs === undefined ? "" : `/${epochs}`;
  const held = validation ? `; validation: ${metricsText(validation)}` : "";
  return `${model ? `${labelOf(model)}: ` : ""}epoch ${epoch}${of}: loss ${digits(loss)}, ${speed((1000 * samples) / Math.max(trainMs, 1e-3))}${held}`;
}

/** A line on what one of several models came to. */
function modelLine(model: TrainedTrial): string {
  const { log, out } = model;
  const last = log.epochs.at(-1);
  const held = last?.validation ? `; validation: ${metricsText(last.validation)}` : "";
  const result = last ? `loss ${digits(last.loss)}${held}; ` : "";
  return `${labelOf(model)}: ${result}${log.end?.text ?? "under way"}${out === null ? "" : ` → ${out}`}`;
}

/** What `mutwo train` prints at its end. */
export function trainingLines(training: Training, report: string | undefined): string[] {
  const { log, out, step, together } = training;
  const { allocatedBytes, budgetBytes } = step;
  const last = log.epochs.at(-1)?.validation;
  const best = log.best && `; best: epoch ${log.best.epoch}, ${log.monitor} ${digits(log.best.value)}`;
  const all = together?.models.reduce((sum, one) => sum + samplesPerSecond(one.log), 0) ?? samplesPerSecond(log);
  return [
    `training: ${inWords(log)}, ${speed(all)}; ${endOf(training)?.text ?? "under way"}`,
    ...(together?.models ?? []).map(modelLine),
    ...(together ? [bestText(together)] : []),
    `memory: ${formatBytes(allocatedBytes)} for the step's values${budgetBytes === null ? "" : `, budget ${formatBytes(budgetBytes)}`}`,
    ...(last && !together ? [`validation: ${metricsText(last)}${best ?? ""}`] : []),
    ...(out === null ? [] : [`model: ${out}`]),
    ...(report === undefined ? [] : [`report: ${report}`]),
  ];
}

/** What `mutwo train --json` prints. */
export const trainingJson = (training: Training, report: string | undefined): object => {
  const { out, goOn, step, together } = training;
  const models = together?.models.map(({ name, model, varied, seed, ...one }) => ({
    name,
    file: model.path,
    varied,
    seed,
    ...resultJson(one),
  }));
  return {
    training: report === undefined ? null : report.replace(/report\.html$/, "training.json"),
    goOn,
    memory: step,
    ...resultJson({ ...training, out }),
    ...(together && { end: endOf(training), bestModel: together.best, models }),
  };
};

const resultJson = ({ out, log }: Pick<TrainedTrial, "out" | "log">): object => ({
  out,
  end: log.end,
  steps: log.steps,
  epochs: log.epochs,
  best: log.best && { ...log.best, monitor: log.monitor },
  samplesPerSecond: samplesPerSecond(log),
  warnings: log.warnings,
});
