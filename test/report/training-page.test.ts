import assert from "node:assert/strict";
import { test } from "node:test";
import { epochsCsv, stepsCsv, trainingHtml } from "../../src/report/training-page.js";
import { goldenRun } from "../golden-run.js";
import { shownData } from "../page-data.js";
import { toyTogether, toyTraining } from "../train/toy-training.js";

test("trainingHtml shows how it ended, cards, charts with words, epochs, commands and files", async () => {
  const training = await toyTraining();
  const html = trainingHtml(training, null, ["training.json", "epochs.csv"]);
  for (const part of [
    "<h1>Training of toy.onnx</h1>",
    "6 epochs done: 6 epochs, 300 steps",
    "toy.npz: 200 samples of x float32[2], target float32[1]",
    "mutwo train toy.onnx --data toy.npz --epochs 6 --loss mse --optimizer sgd --resume --out trained.onnx",
    'href="training.json"',
    "Nothing was planned",
    ...["trainingLoss", "trainingMetrics", "trainingRate", "trainingSpeed", "trainingMemory"].map(
      (name) => `data-figure="${name}"`,
    ),
  ])
    assert.ok(html.includes(part), part);
  assert.ok(!/(?:NaN|undefined|Infinity)/.test(html.slice(html.indexOf("<main>"), html.indexOf("</main>"))));
  const { tables } = shownData(html);
  assert.equal(tables.epochs?.count, 6);
});

test("trainingHtml of a planned training shows the plan and links its report", async () => {
  const run = goldenRun("mlp-cpu");
  const html = trainingHtml(await toyTraining({ epochs: 1 }, { run: run.id }), run, []);
  assert.ok(html.includes(`href="${run.id}/report.html"`));
  assert.ok(html.includes("peak, predicted (arena)"));
});

test("trainingHtml of a training that failed or was stopped before its first step has no number that is none", async () => {
  const stopped = await toyTraining({ signal: AbortSignal.abort() }, { out: null, goOn: null });
  const html = trainingHtml(stopped, null, []);
  const main = html.slice(html.indexOf("<main>"), html.indexOf("</main>"));
  assert.ok(main.includes('class="headline bad"'));
  assert.ok(!/(?:NaN|undefined|Infinity)/.test(main));
  assert.ok(!main.includes("<h3>Go on</h3>"));
});

test("epochsCsv and stepsCsv hold a row each, with a header line", async () => {
  const training = await toyTraining({ epochs: 2 });
  const [head, first, second, end] = epochsCsv(training).split("\n");
  assert.equal(
    head,
    "epoch,step,samples,loss,validation_loss,validation_mae,validation_mse,learning_rate,train_ms,validation_ms",
  );
  assert.match(first as string, /^1,50,200,/);
  assert.match(second as string, /^2,100,200,/);
  assert.equal(end, "");
  const steps = stepsCsv(training).trimEnd().split("\n");
  assert.equal(steps.length, 101);
  assert.equal(steps[0], "step,loss,learning_rate,step_ms,wall_ms");
  assert.match(steps[1] as string, /^1,/);
});

test("trainingHtml of several models shows each, all curves, and which one is best", async () => {
  const html = trainingHtml(await toyTogether(), null, ["training.json", "models.csv"]);
  for (const part of [
    "<h1>Training of 3 × toy.onnx</h1>",
    "Best of 3 models: m1 (lr&#x3D;0.05), validation loss ",
    "Curves of m1",
    'href="m1/steps.csv"',
    'data-figure="modelLosses"',
    'data-figure="modelValidations"',
  ])
    assert.ok(html.includes(part), part);
  assert.ok(
    !/(?:NaN|undefined|Infinity)/.test(
      html.slice(html.indexOf("<main>"), html.indexOf("</main>")).replace(/is NaN/g, ""),
    ),
  );
  assert.equal(shownData(html).tables.models?.count, 3);
});
