import type { Batch } from "../../src/data/batch.js";
import type { Dataset } from "../../src/data/dataset.js";
import type { Value } from "../../src/graph/values.js";
import type { Trainer } from "../../src/train/trainer.js";

const bytes = (numbers: Float32Array): Uint8Array => new Uint8Array(numbers.slice().buffer);

/** What a toy trainer does wrong. */
interface Faults {
  /** The step, from 1 on, whose loss is NaN. */
  readonly notFinite?: number;
  /** The step that throws. */
  readonly broken?: number;
}

/** A trainer of y = w·x with SGD and momentum in float32, of batches of 4: small enough to run thousands of steps. */
export function toyTrainer(faults: Faults = {}): Trainer & { weights(): number[] } {
  const w = Float32Array.of(0.5, -0.5);
  const v = new Float32Array(2);
  let steps = 0;
  let rate = 0.05;
  const predict = (x: ArrayLike<number>, i: number): number =>
    (w[0] as number) * (x[2 * i] as number) + (w[1] as number) * (x[2 * i + 1] as number);
  return {
    file: "toy.onnx",
    batch: [
      { name: "x", dtype: "float32", shape: [4, 2], isTarget: false },
      { name: "target", dtype: "float32", shape: [4, 1], isTarget: true },
    ],
    batchSize: 4,
    outputs: [{ name: "y", dtype: "float32", shape: [4, 1] }],
    run: null,
    allocatedBytes: 64,
    backend: "cpu",
    device: { name: "a toy", threads: 1, memoryBytes: 1, runtimeVersion: "0" },
    modelSha256: "toy",
    get steps() {
      return steps;
    },
    get learningRate() {
      return rate;
    },
    async step(batch: Batch) {
      if (steps + 1 === faults.broken) throw new Error("the device is gone");
      const [x, y] = [batch.x, batch.target] as [Float32Array, Float32Array];
      let loss = 0;
      const g = [0, 0];
      for (let i = 0; i < 4; i++) {
        const off = predict(x, i) - (y[i] as number);
        loss += (off * off) / 4;
        for (const k of [0, 1]) g[k] = (g[k] as number) + (2 * off * (x[2 * i + k] as number)) / 4;
      }
      for (const k of [0, 1]) {
        v[k] = 0.9 * (v[k] as number) + (g[k] as number);
        w[k] = (w[k] as number) - rate * (v[k] as number);
      }
      steps++;
      return { loss: steps === faults.notFinite ? Number.NaN : loss, stepMs: 0.01 };
    },
    evaluationBytes: 0,
    prepare() {},
    saveState() {},
    culprit: async () => "y (MatMul, forward) makes y not finite",
    async evaluate(batch: Batch) {
      const y = Float32Array.from({ length: 4 }, (_, i) => predict(batch.x as Float32Array, i));
      return { y: { dtype: "float32", shape: [4, 1], data: y } };
    },
    setLearningRate(to) {
      rate = to;
    },
    state: () => ({
      steps,
      learningRate: rate,
      tensors: new Map<string, Value>([
        ["w", { dtype: "float32", shape: [2], data: bytes(w) }],
        ["v", { dtype: "float32", shape: [2], data: bytes(v) }],
      ]),
    }),
    load(from) {
      if (typeof from === "string") throw new Error("no files here");
      for (const [name, into] of [["w", w] as const, ["v", v] as const]) {
        const { data } = from.tensors.get(name) as Value;
        into.set(new Float32Array(data.slice().buffer));
      }
      steps = from.steps;
      rate = from.learningRate;
    },
    save() {},
    close() {},
    weights: () => [...w],
  };
}

/** Samples of y = 2·a − b, in an order of their own. */
export function toyData(count: number, name = "toy.npz"): Dataset {
  const x = Float32Array.from({ length: 2 * count }, (_, i) => Math.sin(3 * i + 1));
  const y = Float32Array.from({ length: count }, (_, i) => 2 * (x[2 * i] as number) - (x[2 * i + 1] as number));
  return {
    name,
    count,
    columns: [
      { name: "x", dtype: "float32", shape: [2] },
      { name: "target", dtype: "float32", shape: [1] },
    ],
    read(column, indices) {
      const [from, width] = column === "x" ? [x, 2] : [y, 1];
      return Float32Array.from({ length: indices.length * width }, (_, i) => {
        const sample = indices[Math.floor(i / width)] as number;
        return from[sample * width + (i % width)] as number;
      });
    },
    close() {},
  };
}
