import assert from "node:assert/strict";
import { test } from "node:test";
import type { Figure } from "../../src/report/figure.js";
import {
  bestText,
  modelColumns,
  modelLosses,
  modelsCsv,
  modelsTable,
  modelValidations,
  variedText,
} from "../../src/report/training-models.js";
import type { TrainedTogether } from "../../src/train/training.js";
import { toyTogether } from "../train/toy-training.js";

const given = async (): Promise<TrainedTogether> => (await toyTogether()).together as TrainedTogether;

test("modelsTable and modelsCsv have a row a model, and a column for each thing in which they differ", async () => {
  const together = await given();
  const names = modelColumns(together).map(({ name }) => name);
  assert.deepEqual(names.slice(0, 6), ["model", "file", "lr", "epochs", "steps", "last_loss"]);
  const table = modelsTable(together);
  const of = (name: string) => table.columns.find((column) => column.name === name)?.values;
  assert.deepEqual([table.count, of("best"), of("steps")], [3, [false, true, false], [100, 300, 3]]);
  assert.equal(modelsCsv(together).trimEnd().split("\n").length, 4);
});

test("modelLosses and modelValidations have a line a model, the best one's last and thick", async () => {
  const together = await given();
  for (const figure of [modelLosses(together), modelValidations(together)]) {
    const lines = figure?.data as { name: string; line: { width: number }; x: number[] }[];
    assert.deepEqual(
      lines.map(({ name, line }) => [name, line.width]),
      [
        ["m0 lr=0.01", 1],
        ["m2 lr=9", 1],
        ["m1 lr=0.05 (best)", 3],
      ],
    );
    assert.equal(lines[2]?.x.at(-1), 300);
  }
  const many = { ...together, models: Array.from({ length: 100 }, () => together.models[1] as never) };
  assert.ok(
    ((modelLosses(many) as Figure).data as { x: number[] }[]).every(({ x }) => x.length <= 60 && x.at(-1) === 300),
  );
  const unseen = together.models.map((one) => ({ ...one, log: { ...one.log, epochs: [] } }));
  assert.equal(modelValidations({ models: unseen, best: null }), null);
});

test("bestText says which one is best, by what, and whose loss was not finite", async () => {
  const together = await given();
  assert.match(
    bestText(together),
    /^best of 3 models: m1 \(lr=0\.05\), validation loss \S+ after epoch 6; the loss of m2 was /,
  );
  assert.match(bestText({ ...together, best: null }), /^none of 3 models is the best: /);
  assert.equal(variedText({ varied: { lr: "1", seed: "2" } }), "lr=1, seed=2");
});
