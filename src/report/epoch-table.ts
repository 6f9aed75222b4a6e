import type { EpochRow } from "../train/log.js";
import type { Column } from "./column.js";
import { danfo } from "./danfo.js";
import type { DataFrame } from "./data-frame.js";

/** A column of a training's epochs. */
export interface EpochColumn extends Omit<Column<EpochRow>, "value"> {
  readonly value: (row: EpochRow) => number | null;
}

/** The columns of a training's epochs, with those of the validation's metrics: `validation_accuracy`. */
export const epochColumns = (epochs: readonly EpochRow[]): EpochColumn[] => [
  { name: "epoch", title: "epoch", kind: "count", value: ({ epoch }) => epoch },
  { name: "step", title: "steps done", kind: "count", value: ({ step }) => step },
  { name: "samples", title: "samples", kind: "count", value: ({ samples }) => samples },
  { name: "loss", title: "loss", kind: "number", value: ({ loss }) => loss },
  ...[...new Set(epochs.flatMap(({ validation }) => Object.keys(validation ?? {})))].map(
    (name): EpochColumn => ({
      name: `validation_${name}`,
      title: `validation ${name}`,
      kind: "number",
      value: ({ validation }) => validation?.[name] ?? null,
    }),
  ),
  { name: "learning_rate", title: "learning rate", kind: "number", value: ({ learningRate }) => learningRate },
  { name: "train_ms", title: "training", kind: "ms", value: ({ trainMs }) => trainMs },
  { name: "validation_ms", title: "validation", kind: "ms", value: ({ validationMs }) => validationMs },
];

/**
 * The epochs of a training as a danfo DataFrame, a row each: steps done, samples, mean loss, the validation's loss and
 * metrics (`validation_accuracy`), learning rate, times in ms. What is not known or not finite is missing (NaN).
 */
export function epochTable(epochs: readonly EpochRow[]): DataFrame {
  const { DataFrame: Frame } = danfo();
  const columns = epochColumns(epochs);
  const names = columns.map(({ name }) => name);
  if (epochs.length === 0) return new Frame([], { columns: names });
  const cells = columns.map(({ name, value }): [string, number[]] => [
    name,
    epochs.map((row) => value(row) ?? Number.NaN),
  ]);
  // by what a column holds, not by its first value as danfo does
  const dtypes = columns.map(({ kind }) => (kind === "count" ? "int32" : "float32"));
  return new Frame(Object.fromEntries(cells), { dtypes });
}
