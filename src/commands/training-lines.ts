import { formatBytes, formatCount } from "../format.js";
import type { StepNews } from "../train/fit-options.js";
import type { EpochRow } from "../train/log.js";
import { inWords, samplesPerSecond } from "../train/log.js";
import type { Training } from "../train/training.js";
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

/** `loss 0.31, accuracy 0.97`. */
export const metricsText = (values: Readonly<Record<string, number | null>>): string =>
  Object.entries(values)
    .map(([name, value]) => `${name} ${digits(value)}`)
    .join(", ");

/** A line on an epoch that is done. */
export function epochLine({ epoch, loss, samples, trainMs, validation }: EpochRow, epochs?: number): string {
  const of = epochs === undefined ? "" : `/${epochs}`;
  const held = validation ? `; validation: ${metricsText(validation)}` : "";
  return `epoch ${epoch}${of}: loss ${digits(loss)}, ${speed((1000 * samples) / Math.max(trainMs, 1e-3))}${held}`;
}

/** What `mutwo train` prints at its end. */
export function trainingLines(training: Training, report: string | undefined): string[] {
  const { log, out, step } = training;
  const { allocatedBytes, budgetBytes } = step;
  const last = log.epochs.at(-1)?.validation;
  const best = log.best && `; best: epoch ${log.best.epoch}, ${log.monitor} ${digits(log.best.value)}`;
  return [
    `training: ${inWords(log)}, ${speed(samplesPerSecond(log))}; ${log.end?.text ?? "under way"}`,
    `memory: ${formatBytes(allocatedBytes)} for the step's values${budgetBytes === null ? "" : `, budget ${formatBytes(budgetBytes)}`}`,
    ...(last ? [`validation: ${metricsText(last)}${best ?? ""}`] : []),
    ...(out === null ? [] : [`model: ${out}`]),
    ...(report === undefined ? [] : [`report: ${report}`]),
  ];
}

/** What `mutwo train --json` prints. */
export const trainingJson = (training: Training, report: string | undefined): object => {
  const { log, out, goOn, step } = training;
  return {
    training: report === undefined ? null : report.replace(/report\.html$/, "training.json"),
    out,
    goOn,
    end: log.end,
    steps: log.steps,
    epochs: log.epochs,
    best: log.best && { ...log.best, monitor: log.monitor },
    samplesPerSecond: samplesPerSecond(log),
    memory: step,
    warnings: log.warnings,
  };
};
