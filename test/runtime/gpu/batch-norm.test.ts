import assert from "node:assert/strict";
import { test } from "node:test";
import { Builder } from "../../../src/build/build.js";
import type { DType, Node } from "../../../src/graph/graph.js";
import { batchNorm, batchNormGradient } from "../../../src/runtime/gpu/batch-norm.js";
import { graphOf } from "../../sampled.js";
import { fakeContext } from "./fake-gpu.js";

const declared = (dtypes: readonly DType[], shapes: readonly (readonly number[])[], names: readonly string[]) => {
  const b = new Builder();
  names.forEach((name, i) => {
    b.declare({ name, dtype: dtypes[i] as DType, shape: shapes[i] as readonly number[], category: "input" });
  });
  return graphOf(b, []);
};

const [image, vector] = [[2, 3, 4, 4], [3]];

/** A node with those outputs; the values are of type `dtype`, statistics of `statistics`. */
function normalization(outputs: readonly string[], dtype: DType = "float32", statistics: DType = "float32") {
  const names = ["x", "scale", "bias", "mean", "variance", "y", "newMean", "newVariance", "batchMean", "inverse"];
  const types = names.map((name) => (name === "x" || name === "y" ? dtype : statistics));
  const shapes = names.map((name) => (name === "x" || name === "y" ? image : vector));
  const graph = declared(types, shapes, names);
  const node = { op: "BatchNormalization", name: "bn", inputs: names.slice(0, 5), outputs, attributes: {} };
  return { graph, node: { ...node, domain: "mutwo", phase: "forward" } satisfies Node };
}

function ran(outputs: readonly string[]) {
  const { graph, node } = normalization(outputs);
  const { context, lines, memory, address } = fakeContext(graph);
  const run = batchNorm.prepare(node, context);
  lines.splice(0);
  run();
  assert.equal(memory.held.size, 0, "workspace is held");
  return { lines, address };
}

test("batchNorm.fits(node) wants statistics in float32 and a compiler: ONNX's running variance is not cuDNN's", () => {
  const fits = (dtype: DType, statistics: DType, compiles = true) => {
    const { graph, node } = normalization(["y"], dtype, statistics);
    return batchNorm.fits(node, graph, fakeContext(graph, { compiles }).context);
  };
  assert.equal(fits("float16", "float32"), true);
  assert.equal(fits("float32", "float16"), false);
  assert.equal(fits("int64", "float32"), false);
  assert.equal(fits("float32", "float32", false), false);
});

test("batchNorm renews the running statistics from the batch's, in one kernel; the batch's stay if they are wanted", () => {
  const { lines, address } = ran(["y", "newMean", "newVariance", "batchMean", "inverse"]);
  const [mean, inverse] = [address("batchMean"), address("inverse")];
  assert.match(lines[0] ?? "", new RegExp(`^cudnnBatchNormalizationForwardTraining .* ${mean} ${inverse}$`));
  const operands = ["mean", "variance", "batchMean", "inverse", "newMean", "newVariance"].map((name) => address(name));
  assert.ok(lines[1]?.endsWith(` on ${operands.join(" ")}`), lines[1]);
});

test("batchNorm without outputs for the statistics keeps the batch's in the workspace, and renews nothing", () => {
  const { lines } = ran(["y"]);
  assert.equal(lines.length, 1);
});

test("batchNormGradient gives cuDNN workspace for gradients that nothing reads", () => {
  const names = ["dy", "x", "scale", "batchMean", "inverse", "dScale"];
  const graph = declared(
    names.map(() => "float32"),
    names.map((_, i) => (i < 2 ? image : vector)),
    names,
  );
  const outputs = ["", "dScale", ""];
  const node: Node = {
    op: "BatchNormalizationGradient",
    name: "bn",
    domain: "mutwo",
    inputs: names.slice(0, 5),
    outputs,
    attributes: {},
    phase: "backward",
  };
  const { context, lines, memory, address } = fakeContext(graph);
  assert.ok(batchNormGradient.fits(node, graph, context));
  const run = batchNormGradient.prepare(node, context);
  lines.splice(0);
  run();
  const words = (lines[0] ?? "").split(" ");
  assert.equal(words[0], "cudnnBatchNormalizationBackward");
  assert.equal(words[10], String(address("dScale")));
  assert.ok(Number(words[7]) > 0 && Number(words[11]) > 0 && words[7] !== words[11]);
  assert.equal(memory.held.size, 0);
});
