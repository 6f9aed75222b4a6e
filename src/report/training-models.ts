import { few, formatCount } from "../format.js";
import { pointsOf } from "../train/curve.js";
import { resultOf, type TrainedTogether, type TrainedTrial } from "../train/training.js";
import type { Column } from "./column.js";
import { csvText } from "./csv.js";
import { type Figure, figure } from "./figure.js";
import { type PageTable, pageTableOf } from "./tables.js";

/* Several models that were trained in one step, beside each other. */

/** The other models' lines, in Okabe and Ito's palette; the best one's is drawn over them. */
const colors = ["#56B4E9", "#009E73", "#E69F00", "#CC79A7", "#0072B2", "#999999"] as const;
const bestColor = "#D55E00";

/** More points than this make a page slow: of many models each has fewer. */
const mostPoints = 6000;

/** In what a model differs, in words: `lr=1e-3, seed=2`. */
export const variedText = ({ varied }: Pick<TrainedTrial, "varied">): string =>
  Object.entries(varied)
    .map(([name, value]) => `${name}=${value}`)
    .join(", ");

/** A column of the models' table. */
type ModelColumn = Omit<Column<TrainedTrial>, "value"> & {
  readonly value: (one: TrainedTrial) => string | number | null;
};

/** The columns of several models: what each is, and what it came to; a column for each thing in which they differ. */
export function modelColumns({ models, best }: TrainedTogether): ModelColumn[] {
  const varied = [...new Set(models.flatMap((one) => Object.keys(one.varied)))];
  const metrics = [...new Set(models.flatMap(({ log }) => Object.keys(log.epochs.at(-1)?.validation ?? {})))];
  const monitor = models[0]?.log.monitor ?? "loss";
  return [
    { name: "model", title: "model", kind: "text", value: ({ name }) => name },
    { name: "file", title: "file", kind: "text", value: ({ model }) => model.file },
    ...varied.map(
      (name): ModelColumn => ({ name, title: name, kind: "text", value: (one) => one.varied[name] ?? null }),
    ),
    { name: "epochs", title: "epochs", kind: "count", value: ({ log }) => log.epochs.length },
    { name: "steps", title: "steps", kind: "count", value: ({ log }) => log.steps },
    { name: "last_loss", title: "loss", kind: "number", value: ({ log }) => log.epochs.at(-1)?.loss ?? null },
    ...metrics.map(
      (name): ModelColumn => ({
        name: `validation_${name}`,
        title: `validation ${name}`,
        kind: "number",
        value: ({ log }) => log.epochs.at(-1)?.validation?.[name] ?? null,
      }),
    ),
    ...(metrics.length
      ? [
          {
            name: `best_${monitor}`,
            title: `best ${monitor}`,
            kind: "number",
            value: ({ log }) => log.best?.value ?? null,
          } satisfies ModelColumn,
          {
            name: "best_epoch",
            title: "in epoch",
            kind: "count",
            value: ({ log }) => log.best?.epoch ?? null,
          } satisfies ModelColumn,
        ]
      : []),
    { name: "best", title: "best", kind: "yes", value: ({ name }) => (name === best ? 1 : null) },
    { name: "end", title: "end", kind: "text", value: ({ log }) => log.end?.text ?? "under way" },
    { name: "out", title: "trained model", kind: "text", value: ({ out }) => out },
  ];
}

const rounded = (value: string | number | null): string | number | null =>
  typeof value === "number" ? Number(value.toPrecision(4)) : value;

/** The models as a page's table, a row each. */
export const modelsTable = (together: TrainedTogether): PageTable =>
  pageTableOf(
    modelColumns(together).map((column) => ({
      ...column,
      value: (one: TrainedTrial) => (column.kind === "yes" ? column.value(one) === 1 : rounded(column.value(one))),
    })),
    together.models,
  );

/** The models as CSV text, a row each, with a header line. */
export function modelsCsv(together: TrainedTogether): string {
  const columns = modelColumns(together);
  return csvText({
    fields: columns.map(({ name }) => name),
    columns: columns.map(({ value }) => together.models.map(value)),
  });
}

/** Values as the means of so many neighbours that no more than `most` are left, each at the place of its last. */
function thinned(steps: readonly number[], values: readonly number[], most: number): { x: number[]; y: number[] } {
  const size = Math.max(1, Math.ceil(values.length / Math.max(1, most)));
  const x: number[] = [];
  const y: number[] = [];
  for (let start = 0; start < values.length; start += size) {
    const part = values.slice(start, start + size);
    x.push(steps[start + part.length - 1] as number);
    y.push(part.reduce((sum, one) => sum + one, 0) / part.length);
  }
  return { x, y };
}

/** A line for each model, that of the best last and thick. */
function linesOf(
  { models, best }: TrainedTogether,
  pointsOfModel: (one: TrainedTrial) => { readonly x: readonly number[]; readonly y: readonly (number | null)[] },
  mode: "lines" | "lines+markers",
): object[] {
  const drawn = models.map((one, i) => {
    const isBest = one.name === best;
    const varied = variedText(one);
    return {
      type: "scatter",
      mode,
      name: `${one.name}${varied ? ` ${varied}` : ""}${isBest ? " (best)" : ""}`,
      ...pointsOfModel(one),
      line: isBest ? { color: bestColor, width: 3 } : { color: colors[i % colors.length], width: 1 },
      hovertemplate: "step %{x}<br>%{y:.4g}",
    };
  });
  const at = models.findIndex(({ name }) => name === best);
  return at < 0 ? drawn : [...drawn.slice(0, at), ...drawn.slice(at + 1), drawn[at] as object];
}

const stepAxis = { title: { text: "steps" } };

/** More names than this are no longer told apart below a chart. */
const mostNamed = 24;

const legendOf = ({ models }: TrainedTogether): object => ({ showlegend: models.length <= mostNamed });

/** The loss of every model over its steps; null where none has done one. */
export function modelLosses(together: TrainedTogether): Figure | null {
  const most = Math.floor(mostPoints / together.models.length);
  const lines = linesOf(
    together,
    ({ log }) => {
      const { steps, values } = pointsOf(log.curves.loss);
      return thinned(steps, values, most);
    },
    "lines",
  );
  if (together.models.every(({ log }) => log.curves.loss.values.length + log.curves.loss.count === 0)) return null;
  const finite = together.models.flatMap(({ log }) => pointsOf(log.curves.loss).values);
  const least = finite.reduce((a, z) => Math.min(a, z), Number.POSITIVE_INFINITY);
  const largest = finite.reduce((a, z) => Math.max(a, z), 0);
  const axis = least > 0 && largest > 20 * least ? { type: "log", exponentformat: "power" } : { rangemode: "tozero" };
  return figure("Loss of every model", stepAxis, { title: { text: "loss" }, ...axis }, lines, legendOf(together));
}

/** What the models are judged by, after each epoch; null where nothing was validated. */
export function modelValidations(together: TrainedTogether): Figure | null {
  const monitor = together.models[0]?.log.monitor ?? "loss";
  if (!together.models.some(({ log }) => log.epochs.some(({ validation }) => validation))) return null;
  const lines = linesOf(
    together,
    ({ log: { epochs } }) => ({
      x: epochs.map(({ step }) => step),
      y: epochs.map(({ validation }) => validation?.[monitor] ?? null),
    }),
    "lines+markers",
  );
  return figure(
    `Validation ${monitor} of every model`,
    stepAxis,
    { title: { text: monitor } },
    lines,
    legendOf(together),
  );
}

/** Which of several models is best and what that means, in one sentence without a full stop. */
export function bestText({ models, best }: TrainedTogether): string {
  const one = models.find(({ name }) => name === best);
  const lost = models.filter(({ log }) => log.end?.reason === "not finite").map(({ name }) => name);
  const without = lost.length ? `; the loss of ${few(lost)} was not finite` : "";
  if (!one)
    return `none of ${formatCount(models.length)} models is the best: their losses cannot be compared${without}`;
  const { log } = one;
  const value = Number((resultOf(one) as number).toPrecision(4));
  const of = log.best
    ? `validation ${log.monitor} ${value} after epoch ${log.best.epoch}`
    : `loss ${value} over its last epoch`;
  const varied = variedText(one);
  return `best of ${formatCount(models.length)} models: ${one.name}${varied ? ` (${varied})` : ""}, ${of}${without}`;
}
