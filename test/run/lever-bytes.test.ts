import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import type { Graph } from "../../src/graph/graph.js";
import { timeline } from "../../src/memory/liveness.js";
import {
  growing,
  peakAtBatch,
  peakInChunks,
  peakInMicro,
  peakWithState,
  stateBytesOf,
  stepBytes,
  trainedOf,
} from "../../src/run/lever-bytes.js";
import { openRuntime } from "../../src/runtime/open.js";
import { lowerFor } from "../../src/step/lower.js";
import { type TrainingOptions, trainingStep } from "../../src/step/training.js";

const cpu = openRuntime("cpu");
const gpu = openRuntime("estimate", { deviceSpec: "h100" });

after(() => cpu.close());

const sequences = 8;

/** A language model's end: many classes, and a product before them. */
const model = (batch = sequences): Graph =>
  parseGraph(`graph head(float32[${batch},32,16] x, parameter float32[16,64] u, parameter float32[64,2000] w) => (y) {
    g = MatMul(x, u)
    h = Tanh(g)
    y = MatMul(h, w)
  }`);

const step = (options: Partial<TrainingOptions> = {}, batch?: number): Graph =>
  trainingStep(model(batch), { loss: "ce", optimizer: "adam", ...options });

const whole = stepBytes(step());
const peak = timeline(whole.graph).peakBytes;

const near = (estimated: number | undefined, graph: Graph, share: number): void => {
  const built = timeline(graph).peakBytes;
  assert.ok(Math.abs((estimated ?? 0) - built) <= share * peak, `${estimated} estimated, ${built} built, of ${peak}`);
};

test("stepBytes(graph).peakIf is the timeline's peak for the sizes that storages have, and counts what lives beside", () => {
  assert.equal(
    whole.peakIf(({ bytes }) => bytes),
    peak,
  );
  const everywhere = { start: -1, end: whole.graph.nodes.length + 5, bytes: 7 };
  assert.equal(
    whole.peakIf(({ bytes }) => bytes, [everywhere]),
    peak + 7,
  );
  assert.equal(
    whole.peakIf(
      () => 0,
      [
        { start: 2, end: 2, bytes: 3 },
        { start: 3, end: 4, bytes: 2 },
      ],
    ),
    3,
  );
});

test("peakInChunks(step, count) is within 1 % of the peak where the loss's scores hold it", () => {
  for (const form of [cpu, gpu]) {
    const lowered = stepBytes(lowerFor(form, step()));
    for (const count of [2, 8]) {
      const built = lowerFor(form, step({ loss: `ce:chunks=${count}` }));
      near(peakInChunks(lowered, count), built, 0.01);
    }
  }
  assert.equal(peakInChunks(whole, 10_000), undefined);
  assert.equal(peakInChunks(stepBytes(step({ loss: "mse" })), 2), undefined);
});

test("peakAtBatch and peakInMicro are within 1 % of the peak", () => {
  const grows = growing(whole.graph, sequences);
  assert.ok(grows.has("x") && grows.has("y") && grows.has("target"));
  for (const { name } of trainedOf(whole)) assert.ok(!grows.has(name) && !grows.has(`${name}.grad`), name);
  near(peakAtBatch(whole, grows, 1 / 4), step({}, sequences / 4), 0.01);
  near(peakInMicro(whole, grows, 4), step({ accumulate: 4 }, sequences / 4), 0.01);
});

test("peakWithState(step, share): Adam's state is two of the parameters' size", () => {
  const bytes = 4 * (16 * 64 + 64 * 2000);
  assert.equal(stateBytesOf(whole), 2 * bytes);
  assert.equal(peakWithState(whole, 0.5), peak - bytes);
  assert.deepEqual(
    trainedOf(whole).map(({ name }) => name),
    ["w", "u"],
  );
});
