import assert from "node:assert/strict";
import { test } from "node:test";
import { epochColumns, epochTable } from "../../src/report/epoch-table.js";
import type { EpochRow } from "../../src/train/log.js";

const row = (epoch: number, more: Partial<EpochRow> = {}): EpochRow => ({
  epoch,
  step: 10 * epoch,
  samples: 320,
  loss: 1 / epoch,
  learningRate: 0.1,
  trainMs: 200,
  validation: { loss: 0.5, accuracy: epoch / 4 },
  validationMs: 20,
  ...more,
});

test("epochTable is a danfo DataFrame, a row an epoch, a column a metric", () => {
  const table = epochTable([row(1), row(2, { loss: null, validation: { loss: null, accuracy: 0.5 } })]);
  assert.deepEqual(table.columns, [
    ...["epoch", "step", "samples", "loss", "validation_loss", "validation_accuracy"],
    ...["learning_rate", "train_ms", "validation_ms"],
  ]);
  assert.deepEqual(table.values, [
    [1, 10, 320, 1, 0.5, 0.25, 0.1, 200, 20],
    [2, 20, 320, Number.NaN, Number.NaN, 0.5, 0.1, 200, 20],
  ]);
  assert.equal(table.column("validation_accuracy").max(), 0.5);
  assert.deepEqual(
    epochTable([]).columns,
    epochColumns([]).map(({ name }) => name),
  );
});

test("epochColumns has no columns of a validation that was not made", () => {
  assert.deepEqual(
    epochColumns([row(1, { validation: null })]).filter(({ name }) => name.startsWith("validation_")).length,
    1,
  );
  assert.equal(epochColumns([]).length, 7);
});
