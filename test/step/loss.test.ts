import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { ignoredTarget } from "../../src/step/loss.js";
import { parseNamed } from "../../src/step/settings.js";
import { trainingStep } from "../../src/step/training.js";
import { relativeError, runSteps } from "../step.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

/** Scores [2, 3, 4] that are a parameter: its gradient is the loss's gradient with respect to the model's output. */
const model = parseGraph(`graph scores(float32[2,3,4] x, parameter float32[2,3,4] w) => (y, other) {
  y = Add(x, w)
  other = Mul(y, y)
}`);

const scores = Array.from({ length: 24 }, (_, i) => Math.sin(3 * i + 1) * 2);

const zeros = new Array<number>(24).fill(0);

type Reference = (y: readonly number[], target: readonly number[]) => number;

const mean = (values: readonly number[]): number => values.reduce((a, z) => a + z, 0) / values.length;

/** Cross-entropy over an axis of [2, 3, 4], position by position. */
const crossEntropy =
  (axis: 1 | 2, smoothing = 0, ignored?: number): Reference =>
  (y, target) => {
    const [outer, classes, inner] = axis === 1 ? [2, 3, 4] : [6, 4, 1];
    const losses: number[] = [];
    for (let o = 0; o < outer; o++)
      for (let i = 0; i < inner; i++) {
        const label = target[o * inner + i] as number;
        if (label === ignored) continue;
        const row = Array.from({ length: classes }, (_, c) => y[(o * classes + c) * inner + i] as number);
        const log = Math.log(row.reduce((sum, v) => sum + Math.exp(v), 0));
        losses.push((1 - smoothing) * (log - (row[label] as number)) + smoothing * mean(row.map((v) => log - v)));
      }
    return mean(losses);
  };

const elementwise =
  (each: (y: number, t: number) => number): Reference =>
  (y, target) =>
    mean(y.map((v, i) => each(v, target[i] as number)));

const floats = scores.map((_, i) => (i % 5) / 4);

const cases: readonly [loss: string, target: readonly number[] | undefined, Reference][] = [
  ["ce", [0, 3, 1, 2, 2, 0], crossEntropy(2)],
  ["ce:axis=1", [0, 2, 1, 2, 2, 0, 1, 1], crossEntropy(1)],
  ["ce:axis=-2,label_smoothing=0.1", [0, 2, 1, 2, 2, 0, 1, 1], crossEntropy(1, 0.1)],
  ["ce:ignore_index=-100", [0, -100, 1, 2, -100, 0], crossEntropy(2, 0, -100)],
  ["ce:axis=1,ignore_index=2,label_smoothing=0.2", [0, 2, 1, 2, 2, 0, 1, 1], crossEntropy(1, 0.2, 2)],
  ["mse", floats, elementwise((y, t) => (y - t) ** 2)],
  ["l1", floats, elementwise((y, t) => Math.abs(y - t))],
  [
    "bce",
    floats,
    elementwise((y, t) => -(t * Math.log(1 / (1 + Math.exp(-y))) + (1 - t) * Math.log(1 / (1 + Math.exp(y))))),
  ],
  ["sum", undefined, (y) => y.reduce((a, z) => a + z, 0)],
  ["sum:output=other", undefined, (y) => y.reduce((a, z) => a + z * z, 0)],
];

for (const [loss, target, reference] of cases)
  test(`trainingStep(…, ${loss}) gives the loss, and the gradient of its finite differences`, async () => {
    const step = trainingStep(model, { loss, optimizer: "sgd", precision: "float64" });
    assert.equal(step.inputs.includes("target"), target !== undefined);
    const given = { x: zeros, w: scores, ...(target ? { target } : {}) };
    const [made] = await runSteps(step, runtime, given, [step.loss as string, "w.grad"]);
    const at = (i: number, shift: number): number =>
      reference(
        scores.map((v, k) => (k === i ? v + shift : v)),
        target ?? [],
      );
    assert.ok(relativeError(made?.[step.loss as string] ?? [], [reference(scores, target ?? [])]) < 1e-12);
    const slopes = scores.map((_, i) => (at(i, 1e-5) - at(i, -1e-5)) / 2e-5);
    const error = relativeError(made?.["w.grad"] ?? [], slopes);
    assert.ok(error < 1e-8, `off by ${error}`);
  });

test("bce stays finite for scores of a thousand", async () => {
  const step = trainingStep(model, { loss: "bce", optimizer: "sgd" });
  const far = scores.map((v) => 1000 * v);
  const [made] = await runSteps(step, runtime, { x: zeros, w: far, target: floats }, ["loss", "w.grad"]);
  assert.ok([...(made?.loss ?? [Number.NaN]), ...(made?.["w.grad"] ?? [])].every(Number.isFinite));
});

test("trainingStep refuses settings and outputs that do not fit, in one line", () => {
  const refuse = (loss: string, message: RegExp): void =>
    assert.throws(() => trainingStep(model, { loss, optimizer: "sgd" }), message);
  refuse("ce:label_smoothing=2", /^Error: label_smoothing of ce is not from 0 to 1: 2$/);
  refuse("ce:ignore_index=0.5", /^Error: ignore_index of ce is not a whole number: 0.5$/);
  refuse("l1:axis=1", /^Error: unknown setting of l1: axis/);
  refuse("sum:output=missing", /^Error: unknown output: missing \(one of y, other\)$/);
});

test("ignoredTarget(loss) is the target that the settings leave out", () => {
  const ignored = ["ce", "ce:ignore_index=-100,axis=1", "ce:ignore_index=0", "mse"].map((text) =>
    ignoredTarget(parseNamed(text)),
  );
  assert.deepEqual(ignored, [undefined, -100, 0, undefined]);
});
