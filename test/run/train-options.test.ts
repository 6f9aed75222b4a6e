import assert from "node:assert/strict";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { wrongOptions } from "../../src/run/option-checks.js";
import { commandOf } from "../../src/run/option-forms.js";
import type { OptionsOf } from "../../src/run/options.js";
import { parseCheckpointEvery, parseColumns, parseScale } from "../../src/run/train-options.js";

const folder = mkdtempSync(path.join(tmpdir(), "mutwo-train-options-"));

test("parseCheckpointEvery reads epoch, a number of steps, both or never", () => {
  assert.deepEqual(parseCheckpointEvery("epoch"), { steps: null, epoch: true });
  assert.deepEqual(parseCheckpointEvery("500"), { steps: 500, epoch: false });
  assert.deepEqual(parseCheckpointEvery("epoch, 20"), { steps: 20, epoch: true });
  assert.deepEqual(parseCheckpointEvery("never"), { steps: null, epoch: false });
  for (const text of ["", "0", "-1", "epoch,epoch", "1,2", "never,epoch", "1e3", "500,"])
    assert.throws(() => parseCheckpointEvery(text), { message: /^checkpointEvery is not .* \(use 500,epoch\)$/ }, text);
});

test("parseColumns reads which columns each tensor takes, parseScale a number or a fraction", () => {
  assert.deepEqual(parseColumns("input=x_train, target=y"), { input: "x_train", target: "y" });
  assert.deepEqual(parseColumns("input=a+b=c,target=y"), { input: ["a", "b=c"], target: "y" });
  for (const text of ["", "x", "=x", "x=", "x=a+", "x=a,,y=b"])
    assert.throws(() => parseColumns(text), /TENSOR=COLUMN/);
  assert.throws(() => parseColumns("x=a,x=b"), { message: "columns name a tensor twice: x" });
  assert.equal(parseScale("1/255"), 1 / 255);
  assert.equal(parseScale("-2e-3"), -0.002);
  for (const text of ["", "0", "1/0", "1/", "/2", "1/2/3", "x", "Infinity"])
    assert.throws(() => parseScale(text), { message: `scale is not a number other than 0: ${text} (use 1/255)` });
});

const wrong: readonly (readonly [given: object, problem: string])[] = [
  [{ data: path.join(folder, "none.npz") }, `cannot read data: ${path.join(folder, "none.npz")} (ENOENT)`],
  [{ validate: "" }, "cannot read validation data:  (ENOENT)"],
  [{ epochs: 0 }, "epochs is not a whole number from 1 on: 0"],
  [{ steps: 1.5 }, "steps is not a whole number from 1 on: 1.5"],
  [{ schedule: "cos" }, "unknown schedule: cos (one of constant, linear, cosine, step, exponential)"],
  [{ patience: 2 }, "patience of 2 epochs, and nothing is validated: pass --validate DATA"],
  [{ monitor: "accuracy" }, "nothing is validated to go by: accuracy (pass --validate DATA)"],
  [{ last: "keep" }, "last is not one of drop, pad: keep"],
  [{ keepCheckpoints: 0 }, "keepCheckpoints is not a whole number from 1 on: 0"],
  [{ resume: path.join(folder, "none") }, `cannot read checkpoint: ${path.join(folder, "none")} (ENOENT)`],
  [
    { checkpointEvery: "sometimes" },
    "checkpointEvery is not epoch, a number of steps, both or never: sometimes (use 500,epoch)",
  ],
];

for (const [given, problem] of wrong)
  test(`wrongOptions("train", ${JSON.stringify(given).replaceAll(folder, "FOLDER")}) names it`, () =>
    assert.deepEqual(wrongOptions("train", given as Record<string, unknown>), [problem]));

test("commandOf(train) writes --resume alone for the folder of the checkpoints, with = before any other place", () => {
  const command = (resume: string): string =>
    commandOf("train", "m.onnx", { data: "d", loss: "ce", optimizer: "sgd", out: "o", resume } as OptionsOf<"train">);
  assert.match(command(""), / --resume(?= --loss)/);
  assert.match(command("--epochs"), / --resume=--epochs /);
});
