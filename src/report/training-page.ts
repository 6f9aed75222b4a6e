import { formatBytes, formatCount, formatMs } from "../format.js";
import type { Run } from "../run/run.js";
import { pointsOf } from "../train/curve.js";
import { type EpochRow, inWords, samplesPerSecond } from "../train/log.js";
import { type DataInfo, endOf, type TrainedTogether, type Training } from "../train/training.js";
import { comparison } from "./comparison.js";
import { csvText } from "./csv.js";
import { epochColumns } from "./epoch-table.js";
import type { Figure } from "./figure.js";
import { type PageContent, pageHtml } from "./page.js";
import { decisionCounts } from "./sentences.js";
import { type PageTable, pageTableOf } from "./tables.js";
import {
  memoryWords,
  trainingLoss,
  trainingMemory,
  trainingMetrics,
  trainingRate,
  trainingSpeed,
} from "./training-figures.js";
import { bestText, modelLosses, modelsTable, modelValidations } from "./training-models.js";

/** Four digits are as many as one compares. */
const digits = (value: number | null | undefined): string =>
  value === null || value === undefined ? "–" : String(Number(value.toPrecision(4)));

/** The epochs, a row each. */
const epochsTable = ({ log: { epochs } }: Training): PageTable =>
  pageTableOf(
    epochColumns(epochs).map((column) => ({
      ...column,
      value: (row: EpochRow) => (column.kind === "number" ? rounded(column.value(row)) : column.value(row)),
    })),
    epochs,
  );

const rounded = (number: number | null): number | null => (number === null ? null : Number(number.toPrecision(4)));

/** The epochs as CSV text, with a header line. */
export function epochsCsv({ log: { epochs } }: Training): string {
  const columns = epochColumns(epochs);
  return csvText({
    fields: columns.map(({ name }) => name),
    columns: columns.map(({ value }) => epochs.map(value)),
  });
}

/** The curves of the steps as CSV text, with a header line; in a long training a row is the mean of some steps. */
export function stepsCsv({ log }: Training): string {
  const { loss, learningRate, stepMs, wallMs } = log.curves;
  const { steps } = pointsOf(wallMs);
  const column = (curve: typeof loss): (number | null)[] => {
    const { values } = pointsOf(curve);
    return steps.map((_, i) => values[i] ?? null);
  };
  return csvText({
    fields: ["step", "loss", "learning_rate", "step_ms", "wall_ms"],
    columns: [steps, column(loss), column(learningRate), column(stepMs), column(wallMs)],
  });
}

const dataText = ({ name, count, columns, classes }: DataInfo): string =>
  `${name}: ${formatCount(count)} samples of ${columns
    .map((column) => `${column.name} ${column.dtype}[${column.shape.join(",")}]`)
    .join(", ")}${classes ? `; ${classes.length} classes` : ""}`;

/** Numbers that one looks for first, each with what it is. */
function cards(training: Training): { label: string; value: string; detail: string }[] {
  const { log, step } = training;
  const last = log.epochs.at(-1);
  const held = Object.entries(last?.validation ?? {});
  return [
    { label: "loss", value: digits(last?.loss), detail: "mean over the last epoch" },
    ...held.map(([name, value]) => ({
      label: `validation ${name}`,
      value: digits(value),
      detail:
        log.best && log.monitor === name
          ? `best ${digits(log.best.value)}, epoch ${log.best.epoch}`
          : "after the last epoch",
    })),
    {
      label: "throughput",
      value: `${digits(samplesPerSecond(log))} samples/s`,
      detail: inWords(log),
    },
    {
      label: "memory of the step",
      value: formatBytes(step.allocatedBytes),
      detail:
        step.budgetBytes === null
          ? "for all its values"
          : `for all its values, budget ${formatBytes(step.budgetBytes)}`,
    },
  ];
}

/** Figures by name, null for what there is nothing for. */
const figuresOf = (training: Training): Record<string, Figure | null> => ({
  trainingLoss: trainingLoss(training),
  trainingMetrics: trainingMetrics(training),
  trainingRate: trainingRate(training),
  trainingSpeed: trainingSpeed(training),
  trainingMemory: trainingMemory(training),
  modelLosses: training.together ? modelLosses(training.together) : null,
  modelValidations: training.together ? modelValidations(training.together) : null,
});

/** What each chart shows, in words and numbers. */
function captionsOf(training: Training): Record<string, string> {
  const { log, step } = training;
  const { values } = pointsOf(log.curves.loss);
  const rates = pointsOf(log.curves.learningRate).values;
  const walls = pointsOf(log.curves.wallMs).values;
  const steps = pointsOf(log.curves.stepMs).values;
  const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0);
  const most = log.memory.bytes.reduce((a, z) => Math.max(a, z), 0);
  const least = log.memory.bytes.reduce((a, z) => Math.min(a, z), Number.POSITIVE_INFINITY);
  const last = log.epochs.at(-1)?.validation ?? {};
  const others = Object.entries(last).filter(([name]) => name !== "loss");
  const thick = training.together?.best ? `; thick: ${training.together.best}, the best` : "";
  return {
    modelLosses: `Each model's steps${thick}.`,
    modelValidations: `After each epoch of a model${thick}.`,
    trainingLoss: `From ${digits(values[0])} to ${digits(values.at(-1))} in ${formatCount(log.steps)} steps of ${formatCount(log.batchSize)} samples${last.loss === undefined ? "" : `; of the validation data ${digits(last.loss)} at the end`}.`,
    trainingMetrics: `At the end: ${others.map(([name, value]) => `${name} ${digits(value)}`).join(", ")}.`,
    trainingRate: `From ${digits(rates[0])}, at most ${digits(rates.reduce((a, z) => Math.max(a, z), 0))}, to ${digits(rates.at(-1))}.`,
    trainingSpeed: `${digits(samplesPerSecond(log))} samples/s over the training; ${digits((100 * sum(steps)) / Math.max(sum(walls), 1e-9))} % of the time was spent in the step itself, the rest in reading data, the loop and checkpoints.`,
    trainingMemory: `${capital(memoryWords(log.memory))}: ${formatBytes(least)} to ${formatBytes(most)}; the step's values take ${formatBytes(step.allocatedBytes)} of it. ${log.memory.what === "resident" ? "The rest is Node, ONNX Runtime, what kernels take for themselves, the data and what the system has not taken back." : "The rest is the driver's context, libraries and what kernels take for themselves."}`,
  };
}

/** The rest of what the page shows of the plan; null where nothing was planned. */
function planView(training: Training, run: Run | null) {
  if (!run) return null;
  return {
    report: `${run.id}/report.html`,
    planner: run.plan?.planner ?? null,
    decisions: run.plan
      ? `${run.plan.decisions.length} ${run.plan.decisions.length === 1 ? "decision" : "decisions"} (${decisionCounts(run.plan)})`
      : null,
    hasPlan: run.plan !== null,
    comparison: comparison(run, "report"),
    allocated: formatBytes(training.step.allocatedBytes),
    command: run.command,
  };
}

function summaryView(training: Training) {
  const { log, model, data, validation, out } = training;
  const end = endOf(training) ?? { reason: "interrupted", text: "the training is under way" };
  const facts = [
    ["model", `${model.file}`],
    ["trained model", out ?? "none was written"],
    ...(training.together ? [["models", formatCount(training.together.models.length)]] : []),
    ["data", dataText(data)],
    ["validation data", validation ? dataText(validation) : "none"],
    ["samples per step", formatCount(log.batchSize)],
    ["steps", `${formatCount(log.steps)}, ${formatCount(log.epochSteps)} an epoch`],
    ...Object.entries(training.settings),
    ["device", `${training.backend}: ${training.device}`],
  ];
  return {
    good: end.reason !== "not finite" && end.reason !== "interrupted",
    headline: `${end.text}: ${inWords(log)}`,
    cards: cards(training),
    facts: facts.map(([name, value]) => ({ name, value })),
    warnings: log.warnings.length ? log.warnings : null,
  };
}

function reproduceView(training: Training, files: readonly string[]) {
  const { environment, log } = training;
  const stretches = log.stretches.map(({ startedAt, from }) => `${startedAt} after step ${formatCount(from)}`);
  const facts = [
    ["mutwo", environment.mutwo],
    ["Node", environment.node],
    ["ONNX Runtime", environment.onnxruntime],
    [
      "system",
      `${environment.os}, ${environment.cpu}, ${environment.cores} cores, ${formatBytes(environment.memoryBytes)}`,
    ],
    ["seed", String(training.seed)],
    ["model sha256", training.model.sha256],
    ["processes", stretches.join("; ")],
  ];
  return {
    command: training.command,
    goOn: training.goOn,
    facts: facts.map(([name, value]) => ({ name, value })),
    files,
  };
}

const capital = (text: string): string => text.replace(/^./, (letter) => letter.toUpperCase());

/** The model whose curves stand for all: the best, or else the first. */
const shownOf = ({ best, models }: TrainedTogether): string => best ?? models[0]?.name ?? "";

/** Whether a model ended before another. */
const isEarly = ({ models }: TrainedTogether): boolean => new Set(models.map(({ log }) => log.steps)).size > 1;

/**
 * The report of a training as one HTML page that needs nothing else. `run` is the one that measured and planned its step,
 * whose own report lies in a folder of its name; `files` are those beside the page.
 */
export function trainingHtml(training: Training, run: Run | null, files: readonly string[]): string {
  const figures = figuresOf(training);
  const { validationMs, trainMs } = training.log.epochs.reduce(
    (sum, row) => ({ validationMs: sum.validationMs + row.validationMs, trainMs: sum.trainMs + row.trainMs }),
    { validationMs: 0, trainMs: 0 },
  );
  const plan = planView(training, run);
  const { together } = training;
  // of several models the curves and epochs are those of one
  const shown = together && shownOf(together);
  const of = shown ? ` of ${shown}` : "";
  const folder = shown ? `${shown}/` : "";
  const sections: PageContent["sections"] = [
    { name: "training-summary", title: "Summary", view: summaryView(training) },
    ...(together
      ? [
          {
            name: "training-models",
            title: "Models",
            view: { best: capital(bestText(together)), early: isEarly(together) },
          },
        ]
      : []),
    { name: "training-curves", title: `Curves${of}`, view: { of, folder } },
    {
      name: "training-epochs",
      title: `Epochs${of}`,
      view: {
        of,
        folder,
        train: formatMs(trainMs),
        validation: formatMs(validationMs),
        count: training.log.epochs.length,
      },
    },
    {
      name: "training-memory",
      title: "Memory",
      view: {
        what: memoryWords(training.log.memory),
        plan,
        allocated: formatBytes(training.step.allocatedBytes),
        evaluation: training.step.evaluationBytes ? formatBytes(training.step.evaluationBytes) : null,
      },
    },
    { name: "training-reproduce", title: "Reproduce", view: reproduceView(training, files) },
  ];
  return pageHtml({
    heading: `Training of ${training.model.file}`,
    sub: `mutwo train · ${training.id} · ${training.createdAt}`,
    sections,
    figures,
    captions: captionsOf(training),
    tables: { epochs: epochsTable(training), ...(together && { models: modelsTable(together) }) },
  });
}
