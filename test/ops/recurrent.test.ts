import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Builder } from "../../src/build/build.js";
import { expand } from "../../src/build/expand.js";
import { type Attributes, elementCount, int, ints, type Node, text } from "../../src/graph/graph.js";
import { bytesOf, type Value, valuesOf } from "../../src/graph/values.js";
import { bindModel } from "../../src/model/bind.js";
import type { Model, ModelNode } from "../../src/model/model.js";
import { opOf } from "../../src/ops/index.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { loadWithValues } from "../../src/runtime/load.js";
import { initialValues } from "../../src/step/initial.js";
import { lower } from "../../src/step/lower.js";
import { trainingStep } from "../../src/step/training.js";
import { modelOf } from "../model/model-of.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

const value = (shape: readonly number[], at: (i: number) => number = (i) => Math.sin(i + shape.length)): Value => ({
  dtype: "float32",
  shape,
  data: bytesOf(
    "float32",
    Array.from({ length: elementCount(shape) }, (_, i) => at(i)),
  ),
});

/** The first two axes exchanged. */
function turned({ shape, data }: Value): Value {
  const [n = 1, m = 1, ...rest] = shape;
  const inner = elementCount(rest);
  const values = valuesOf("float32", data);
  const at = (i: number): number => {
    const [row, column] = [Math.floor(i / inner / n), Math.floor(i / inner) % n];
    return values[(column * m + row) * inner + (i % inner)] as number;
  };
  return value([m, n, ...rest], at);
}

const nodeOf = (op: string, inputs: readonly string[], outputs: readonly string[], attributes: Attributes): Node => ({
  name: "layer",
  domain: "",
  op,
  inputs,
  outputs,
  attributes,
  phase: "forward",
});

/** The nodes that a recurrent node of that many steps becomes. */
function unrolled(op: string, gates: number, steps: number, attributes: Attributes, lengths?: readonly number[]) {
  const b = new Builder();
  const shapes = [
    [steps, 2, 3],
    [1, gates * 4, 3],
    [1, gates * 4, 4],
    [1, 2 * gates * 4],
  ];
  shapes.forEach((shape, i) => {
    b.declare({ name: `x${i}`, dtype: "float32", shape, category: i ? "parameter" : "input" });
  });
  if (lengths) b.constant("int32", [lengths.length], lengths);
  const inputs = ["x0", "x1", "x2", "x3", ...(lengths ? [[...b.tensors.keys()].at(-1) as string] : [])];
  const node = nodeOf(op, inputs, ["y"], attributes);
  return expand(b, node, opOf(node).normalize as NonNullable<ReturnType<typeof opOf>["normalize"]>)?.nodes ?? [];
}

test("LSTM layout=1 gives what layout=0 gives, batch and steps exchanged", () => {
  const direction = text("bidirectional");
  const [x, w, r, b] = [value([3, 2, 2]), value([2, 12, 2]), value([2, 12, 3]), value([2, 24])];
  const [h, c] = [value([2, 2, 3], Math.cos), value([2, 2, 3])];
  const names = ["x", "w", "r", "b", "", "h", "c"];
  const outputs = ["y", "yh", "yc"];
  const stepsFirst = cpu.evaluate(nodeOf("LSTM", names, outputs, { direction }), [x, w, r, b, undefined, h, c]);
  const batchFirst = cpu.evaluate(nodeOf("LSTM", names, outputs, { direction, layout: int(1) }), [
    turned(x),
    w,
    r,
    b,
    undefined,
    turned(h),
    turned(c),
  ]);
  // Y [3, 2, 2, 3] against [batch 2, steps 3, directions 2, hidden 3]
  assert.deepEqual(
    batchFirst.map(({ shape }) => [...shape]),
    [
      [2, 3, 2, 3],
      [2, 2, 3],
      [2, 2, 3],
    ],
  );
  const [last, cell] = stepsFirst.slice(1).map(turned);
  assert.deepEqual(batchFirst[1]?.data, last?.data);
  assert.deepEqual(batchFirst[2]?.data, cell?.data);
  const y = valuesOf("float32", batchFirst[0]?.data as Uint8Array);
  const expected = valuesOf("float32", stepsFirst[0]?.data as Uint8Array);
  for (const [s, d, n, k] of [
    [0, 0, 1, 2],
    [2, 1, 0, 0],
    [1, 0, 1, 1],
  ] as const)
    assert.equal(y[((n * 3 + s) * 2 + d) * 3 + k], expected[((s * 2 + d) * 2 + n) * 3 + k]);
});

test("a step of an LSTM costs ten nodes, of a GRU nine, of an RNN two", () => {
  const perStep = (op: string, gates: number): number =>
    unrolled(op, gates, 7, {}).length - unrolled(op, gates, 6, {}).length;
  assert.deepEqual([perStep("LSTM", 4), perStep("GRU", 3), perStep("RNN", 1)], [10, 9, 2]);
});

test("recurrent nodes that cannot be unrolled are refused by name", () => {
  const relu6 = { activations: { type: "strings", value: ["Relu6"] } } as const;
  assert.throws(() => unrolled("RNN", 1, 3, relu6), { message: "unsupported: activation Relu6 of RNN (node layer)" });
  assert.throws(() => unrolled("RNN", 1, 3, { hidden_size: int(5) }), {
    message: "shape mismatch: hidden_size=5 of RNN with R [1,4,4], which has 4 (node layer)",
  });
  assert.throws(() => unrolled("GRU", 3, 3, {}, [3, 2, 1]), {
    message: "shape mismatch: lengths [3] of 2 sequences (node layer)",
  });
  assert.throws(() => unrolled("LSTM", 3, 3, {}), {
    message: "shape mismatch: X [3,2,3], W [1,12,3], R [1,12,4] (op LSTM, node layer)",
  });
});

/** A text classifier as PyTorch exports it: embedding, two-directional LSTM with zero states, mean, linear layer. */
function classifier(): Model {
  const node = (op: string, inputs: string[], outputs: string[], attributes: Attributes = {}): ModelNode => ({
    name: `/${outputs[0]}/${op}`,
    domain: "",
    op,
    inputs,
    outputs,
    attributes,
  });
  const vector = (...values: number[]) => ({
    dtype: "int64" as const,
    shape: [values.length],
    data: bytesOf("int64", values),
  });
  return modelOf(
    [
      node("Gather", ["embedding.weight", "words"], ["embedded"]),
      node("Transpose", ["embedded"], ["steps"], { perm: ints([1, 0, 2]) }),
      node("Shape", ["steps"], ["shape"]),
      node("Gather", ["shape", "one"], ["batch"]),
      node("Concat", ["two", "batch", "six"], ["state.shape"], { axis: int(0) }),
      node("ConstantOfShape", ["state.shape"], ["zeros"]),
      node("LSTM", ["steps", "lstm.w", "lstm.r", "lstm.b", "", "zeros", "zeros"], ["y", "h", ""], {
        direction: text("bidirectional"),
        hidden_size: int(6),
      }),
      node("Transpose", ["y"], ["turned"], { perm: ints([0, 2, 1, 3]) }),
      node("Reshape", ["turned", "flat"], ["both"]),
      node("ReduceMean", ["both"], ["mean"], { axes: ints([0]), keepdims: int(0) }),
      node("Gemm", ["mean", "linear.weight", "linear.bias"], ["scores"], { transB: int(1) }),
    ],
    {
      opset: 17,
      opsets: { "": 17 },
      inputs: [{ name: "words", dtype: "int64", dims: ["batch", 5] }],
      outputs: [{ name: "scores", dtype: "float32", dims: ["batch", 3] }],
      initializers: new Map([
        ["embedding.weight", value([11, 4])],
        ["lstm.w", value([2, 24, 4])],
        ["lstm.r", value([2, 24, 6])],
        ["lstm.b", value([2, 48])],
        ["linear.weight", value([3, 12])],
        ["linear.bias", value([3])],
        ["one", vector(1)],
        ["two", vector(2)],
        ["six", vector(6)],
        ["flat", vector(0, 0, -1)],
      ]),
    },
  );
}

test("a layer of a million steps is refused before one is written out", () => {
  const b = new Builder();
  for (const [name, shape] of [
    ["x", [1_000_000, 1, 2]],
    ["w", [1, 8, 2]],
    ["r", [1, 8, 2]],
  ] as const)
    b.declare({ name, dtype: "float32", shape, category: "input" });
  const attributes = { hidden_size: int(2) };
  const node: Node = {
    name: "rnn",
    domain: "",
    op: "LSTM",
    inputs: ["x", "w", "r"],
    outputs: ["y"],
    attributes,
    phase: "forward",
  };
  assert.throws(
    () => expand(b, node, opOf(node).normalize as NonNullable<ReturnType<typeof opOf>["normalize"]>),
    /^Error: LSTM of 1000000 steps: at most 20000 are written out \(bind less\) \(node rnn/,
  );
  assert.equal(b.nodes.length, 0);
});

test("a text classifier with an LSTM trains: all its weights get gradients and the loss falls", async () => {
  const evaluate = (node: Node, inputs: readonly (Value | undefined)[]): Value[] => cpu.evaluate(node, inputs);
  const { graph } = bindModel(classifier(), { dims: { batch: 4 }, evaluate });
  // the exporter's zero states are known to be zero: the first step has no product with R
  const products = graph.nodes.filter((node) => node.op === "Gemm" && node.name.includes("LSTM")).length;
  assert.equal(products, 2 * (1 + 4));
  const step = trainingStep(graph, { loss: "ce", optimizer: "adam:lr=1e-2" });
  const trained = [...step.tensors.values()].filter((t) => t.within?.tensor === "parameters").map((t) => t.name);
  assert.deepEqual(trained.sort(), ["embedding.weight", "linear.bias", "linear.weight", "lstm.b", "lstm.r", "lstm.w"]);
  const lowered = lower(step, (node, tensors) => cpu.hasKernel(node, tensors));
  const { step: loaded } = loadWithValues(lowered, cpu, initialValues(lowered, step, 0));
  const losses: number[] = [];
  for (let i = 0; i < 30; i++) {
    await loaded.run();
    losses.push(valuesOf("float32", loaded.read(lowered.loss as string))[0] as number);
  }
  loaded.close();
  assert.ok((losses.at(-1) as number) < 0.7 * (losses[0] as number), losses.map((x) => x.toFixed(3)).join(" "));
});
