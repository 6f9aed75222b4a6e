import { formatBytes } from "../format.js";
import { pointsOf, type StepCurve } from "../train/curve.js";
import { metricOf } from "../train/metrics.js";
import type { Training } from "../train/training.js";
import { bytesAxis, type Figure, figure, mib } from "./figure.js";

/** Okabe and Ito's palette: of the training data, of the validation data, and of other lines. */
const colors = { train: "#0072B2", validation: "#D55E00", other: "#009E73", bound: "#CC0000" } as const;

/** The steps of the metrics after the first two have these. */
const metricColors = ["#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"] as const;

const stepAxis = { title: { text: "steps" } };

const line = (
  name: string,
  color: string,
  steps: readonly number[],
  values: readonly (number | null)[],
  more: object = {},
) => ({
  type: "scatter",
  mode: "lines",
  name,
  x: steps,
  y: values,
  line: { color, width: 2 },
  hovertemplate: "step %{x}<br>%{y:.4g}",
  ...more,
});

const marked = { mode: "lines+markers", marker: { size: 7 } };

/** Values of the validation after each epoch, of one name. */
function validated({ log }: Training, name: string): { steps: number[]; values: (number | null)[] } {
  const rows = log.epochs.filter(({ validation }) => validation !== null);
  return { steps: rows.map(({ step }) => step), values: rows.map(({ validation }) => validation?.[name] ?? null) };
}

/** Whether losses go over so much that a logarithm shows more. */
const isWide = (values: readonly number[]): boolean => {
  const least = values.reduce((a, z) => Math.min(a, z), Number.POSITIVE_INFINITY);
  const most = values.reduce((a, z) => Math.max(a, z), 0);
  return least > 0 && most > 20 * least;
};

/** The loss of each step, its mean over each epoch, and that of the validation data. */
export function trainingLoss(training: Training): Figure | null {
  const { log } = training;
  const { steps, values } = pointsOf(log.curves.loss);
  if (values.length === 0) return null;
  const held = validated(training, "loss");
  const { stride } = log.curves.loss;
  const data = [
    line(stride === 1 ? "loss of each step" : `loss, means of ${stride} steps`, "#56B4E9", steps, values, {
      line: { color: "#56B4E9", width: 1 },
    }),
    line(
      "mean of each epoch",
      colors.train,
      log.epochs.map(({ step }) => step),
      log.epochs.map(({ loss }) => loss),
      marked,
    ),
    ...(held.steps.length ? [line("validation", colors.validation, held.steps, held.values, marked)] : []),
  ];
  const axis = isWide(values) ? { type: "log", exponentformat: "power" } : { rangemode: "tozero" };
  return figure("Loss", stepAxis, { title: { text: "loss" }, ...axis }, data, { showlegend: true });
}

/** The metrics of the validation data after each epoch; null where none were computed. */
export function trainingMetrics(training: Training): Figure | null {
  const names = Object.keys(training.log.epochs.find(({ validation }) => validation)?.validation ?? {}).filter(
    (name) => name !== "loss",
  );
  // shares go from 0 to 1; what has another scale gets a chart's other axis
  const isShare = (name: string): boolean => /^(accuracy|top\d+)$/.test(name);
  if (names.length === 0) return null;
  const hasBoth = names.some(isShare) && !names.every(isShare);
  const data = names.map((name, i) => {
    const { steps, values } = validated(training, name);
    const color = metricColors[i % metricColors.length] as string;
    return line(name, color, steps, values, { ...marked, ...(hasBoth && !isShare(name) ? { yaxis: "y2" } : {}) });
  });
  const [first = ""] = names;
  const title = names.length === 1 ? `${first}: ${metricOf(first).title}` : "share, or the metric's own scale";
  return figure(
    "Metrics of the validation data",
    stepAxis,
    { title: { text: names.length === 1 ? first : "metric" } },
    data,
    {
      showlegend: true,
      ...(hasBoth ? { yaxis2: { overlaying: "y", side: "right", automargin: true, title: { text: title } } } : {}),
    },
  );
}

/** The learning rate over the steps. */
export function trainingRate({ log }: Training): Figure | null {
  const { steps, values } = pointsOf(log.curves.learningRate);
  if (values.length === 0) return null;
  return figure(
    "Learning rate",
    stepAxis,
    { title: { text: "learning rate" }, rangemode: "tozero", exponentformat: "power" },
    [line("learning rate", colors.train, steps, values)],
    { showlegend: false, height: 320 },
  );
}

/** Samples a second over the steps, with all that a step waits for, and of the step alone. */
export function trainingSpeed({ log }: Training): Figure | null {
  const rate = (curve: StepCurve): { steps: number[]; values: number[] } => {
    const { steps, values } = pointsOf(curve);
    return { steps, values: values.map((ms) => (1000 * log.batchSize) / Math.max(ms, 1e-6)) };
  };
  const whole = rate(log.curves.wallMs);
  const alone = rate(log.curves.stepMs);
  if (whole.values.length === 0) return null;
  return figure(
    "Throughput",
    stepAxis,
    { title: { text: "samples/s" }, rangemode: "tozero" },
    [
      line("the step alone", "#56B4E9", alone.steps, alone.values, { line: { color: "#56B4E9", width: 1 } }),
      line("with reading data and all else", colors.train, whole.steps, whole.values),
    ],
    { showlegend: true, height: 360 },
  );
}

/** What the memory curve is of, in words. */
export const memoryWords = ({ what }: Training["log"]["memory"]): string =>
  what === "device" ? "held on the device by this process, as the driver says" : "resident bytes of the process";

/** What the process held over the training beside what the plan says of the step. */
export function trainingMemory({ log, step }: Training): Figure | null {
  const { steps, bytes } = log.memory;
  if (steps.length === 0) return null;
  const end = Math.max(log.steps, 1);
  const flat = (name: string, color: string, value: number | null, dash: string) =>
    value === null
      ? []
      : [
          line(`${name}: ${formatBytes(value)}`, color, [1, end], [mib(value), mib(value)], {
            line: { color, width: 2, dash },
          }),
        ];
  return figure(
    "Memory over the training",
    stepAxis,
    bytesAxis,
    [
      line(memoryWords(log.memory), colors.train, steps, bytes.map(mib), steps.length > 50 ? {} : marked),
      ...flat("the step's values, allocated", colors.other, step.allocatedBytes, "solid"),
      ...flat("the step without a plan", "#999999", step.unplannedBytes, "dot"),
      ...flat("budget", colors.bound, step.budgetBytes, "dash"),
    ],
    { showlegend: true },
  );
}
