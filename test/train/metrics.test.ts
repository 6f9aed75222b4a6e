import assert from "node:assert/strict";
import { test } from "node:test";
import { bytesOf } from "../../src/graph/values.js";
import { checkMetric, isBetter, metricNames, metricOf, openMetrics } from "../../src/train/metrics.js";

/** The numbers that the reference values are of: 3 sin(1.7 i) + (i mod 5) / 4. */
const scores = (count: number): Float64Array =>
  Float64Array.from({ length: count }, (_, i) => 3 * Math.sin(1.7 * i) + (i % 5) * 0.25);

const near = (values: Readonly<Record<string, number>>, expected: Readonly<Record<string, number>>): void => {
  assert.deepEqual(Object.keys(values), Object.keys(expected));
  for (const [name, value] of Object.entries(expected))
    assert.ok(
      Math.abs((values[name] as number) - value) < 1e-12 * Math.abs(value) + 1e-15,
      `${name}: ${values[name]}, ${value}`,
    );
};

// values of PyTorch 1.13 in float64: cross_entropy, topk, mse_loss, l1_loss, binary_cross_entropy_with_logits

const output = { name: "scores", dtype: "float64", shape: [6, 7] } as const;
const labels = [1, 3, 6, -100, 6, 5];

test("metrics of classes equal PyTorch's, with ignore_index and label smoothing, whole or batch by batch", () => {
  const names = ["accuracy", "top2", "top3", "top5", "perplexity"];
  const plain = openMetrics(names, { loss: "ce:ignore_index=-100", output });
  plain.add({ ...output, data: scores(42) }, labels);
  near(plain.values(), {
    loss: 3.4455641693123567,
    accuracy: 0.4,
    top2: 0.4,
    top3: 0.6,
    top5: 0.6,
    perplexity: 31.360971354356696,
  });
  const smooth = openMetrics(names, { loss: "ce:ignore_index=-100,label_smoothing=0.1", output });
  // batches of 4, the second padded
  smooth.add({ dtype: "float64", shape: [4, 7], data: scores(28) }, BigInt64Array.from(labels.slice(0, 4), BigInt));
  const rest = new Float64Array(28);
  rest.set(scores(42).subarray(28));
  smooth.add({ dtype: "float64", shape: [4, 7], data: rest }, [...labels.slice(4), 77, 77], {
    samples: 2,
    batchSize: 4,
  });
  near(smooth.values(), {
    loss: 3.45549805901344,
    accuracy: 0.4,
    top2: 0.4,
    top3: 0.6,
    top5: 0.6,
    perplexity: 31.360971354356696,
  });
});

test("metrics of classes on another axis equal PyTorch's; padding is left out by samples", () => {
  const shape = [2, 4, 3, 2];
  const target = [0, 1, 2, 3, 3, 0, 1, 1, 2, 0, 3, 3];
  const options = { loss: "ce:axis=1", output: { name: "s", dtype: "float64", shape } } as const;
  const all = openMetrics(["accuracy", "top2"], options);
  all.add({ dtype: "float64", shape, data: scores(48) }, target);
  near(all.values(), { loss: 2.8329742141768652, accuracy: 0.25, top2: 0.5833333333333334 });
  const first = openMetrics([], options);
  first.add({ dtype: "float64", shape, data: scores(48) }, target, { samples: 1, batchSize: 2 });
  near(first.values(), { loss: 4.112758261895599 });
});

test("errors of numbers and sides of 0 equal PyTorch's", () => {
  const shape = [5, 2];
  const target = Float64Array.from({ length: 10 }, (_, i) => Math.cos(i));
  const of = (loss: string, wanted: ArrayLike<number>): Record<string, number> => {
    const metrics = openMetrics(undefined, { loss, output: { name: "x", dtype: "float64", shape } });
    metrics.add({ dtype: "float64", shape, data: scores(10) }, Float64Array.from(wanted));
    return metrics.values();
  };
  near(of("mse", target), { loss: 5.762026680878597, mae: 2.161189543316536, mse: 5.762026680878597 });
  near(of("l1", target), { loss: 2.161189543316536, mae: 2.161189543316536, mse: 5.762026680878597 });
  const sides = target.map((value) => Number(value > 0));
  near(of("bce", sides), { loss: 1.3313067795004625, accuracy: 0.4 });
});

test("large scores do not overflow, 16-bit floats are decoded", () => {
  const big = openMetrics([], { loss: "ce", output: { name: "x", dtype: "float32", shape: [1, 3] } });
  big.add({ dtype: "float32", shape: [1, 3], data: Float32Array.of(1000, -1000, 999) }, [2]);
  near(big.values(), { loss: 1.3132616875182228 });
  const half = openMetrics(undefined, { loss: "mse", output: { name: "x", dtype: "float16", shape: [2] } });
  half.add({ dtype: "float16", shape: [2], data: new Uint16Array(bytesOf("float16", [1.5, -2]).buffer) }, [1, 0]);
  near(half.values(), { loss: 2.125, mae: 1.25, mse: 2.125 });
});

test("without names there are the usual ones of loss and output", () => {
  const usual = (loss: string, shape: readonly number[]): readonly string[] =>
    openMetrics(undefined, { loss, output: { name: "x", dtype: "float32", shape } }).names;
  assert.deepEqual(usual("ce", [8, 5]), ["loss", "accuracy"]);
  assert.deepEqual(usual("ce", [8, 10]), ["loss", "accuracy", "top5"]);
  assert.deepEqual(usual("ce", [8, 16, 1000]), ["loss", "accuracy", "top5", "perplexity"]);
  assert.deepEqual(usual("ce:axis=1", [8, 3, 16, 16]), ["loss", "accuracy"]);
  assert.deepEqual(usual("mse", [8, 1]), ["loss", "mae", "mse"]);
  assert.deepEqual(usual("bce", [8, 1]), ["loss", "accuracy"]);
  assert.deepEqual(usual("sum", []), ["loss"]);
  assert.deepEqual(
    openMetrics(["top3", "loss", "top3"], { loss: "ce", output: { name: "x", dtype: "float32", shape: [8, 5] } }).names,
    ["loss", "top3"],
  );
});

test("metrics say which are better, and what does not fit", () => {
  assert.deepEqual(metricNames, ["accuracy", "top5", "perplexity", "mae", "mse"]);
  assert.deepEqual(
    [isBetter("accuracy", 0.9, 0.8), isBetter("loss", 0.9, 0.8), isBetter("top3", 0.8, 0.9), isBetter("mae", 1, 2)],
    [true, false, false, true],
  );
  for (const name of ["accuracy", "loss"]) assert.equal(isBetter(name, Number.NaN, 1), false);
  assert.equal(metricOf("top3").title, "share of positions whose class is among the 3 with the highest scores");
  assert.throws(() => checkMetric("f1"), /unknown metric: f1 \(one of accuracy, top5, perplexity, mae, mse\)/);
  assert.throws(() => checkMetric("top0"), /unknown metric: top0/);
  assert.throws(() => checkMetric("accuracy", "mse"), /metric accuracy does not fit loss mse \(use mae, mse\)/);
  assert.throws(() => checkMetric("mae", "sum"), /metric mae does not fit loss sum \(it has none\)/);
  checkMetric("top3", "ce:axis=1");
  const metrics = openMetrics([], { loss: "ce", output });
  assert.ok(Number.isNaN(metrics.values().loss));
  assert.throws(() => metrics.add({ ...output, data: scores(41) }, labels), /an output of 41 elements is not \[6,7\]/);
  assert.throws(
    () => metrics.add({ ...output, data: scores(42) }, labels, { samples: 7, batchSize: 6 }),
    /of a batch of 6 samples 7 cannot count/,
  );
});
