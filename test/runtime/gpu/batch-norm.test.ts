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

test("batchNorm.fits(node) wants vectors of float32 or float64, all of one type, and a compiler", () => {
  const fits = (dtype: DType, statistics: DType, compiles = true) => {
    const { graph, node } = normalization(["y"], dtype, statistics);
    return batchNorm.fits(node, graph, fakeContext(graph, { compiles }).context);
  };
  assert.equal(fits("float16", "float32"), true);
  assert.equal(fits("float64", "float64"), true);
  assert.equal(fits("float32", "float16"), false);
  assert.equal(fits("int64", "float32"), false);
  assert.equal(fits("float32", "float32", false), false);
});

/** What a line says the kernel was launched on. */
const operandsOf = (line: string | undefined): string[] => (line ?? "").split(" on ")[1]?.split(" ") ?? [];

test("batchNorm sums, renews the running statistics with the batch's, and normalises; the batch's stay if they are wanted", () => {
  const { lines, address } = ran(["y", "newMean", "newVariance", "batchMean", "inverse"]);
  assert.equal(lines.length, 3);
  const at = (...names: string[]): string[] => names.map((name) => String(address(name)));
  const [sums, finish, apply] = lines.map(operandsOf);
  assert.equal(sums?.[0], String(address("x")));
  assert.equal(finish?.[0], sums?.[1], "the parts");
  assert.deepEqual(finish?.slice(1), at("x", "batchMean", "inverse", "mean", "newMean", "variance", "newVariance"));
  assert.deepEqual(apply, at("x", "scale", "bias", "batchMean", "inverse", "y"));
});

test("batchNorm without outputs for the statistics keeps the batch's in the workspace, and renews nothing", () => {
  const { lines } = ran(["y"]);
  const [sums, finish, apply] = lines.map(operandsOf);
  assert.equal(finish?.length, 4);
  const own = [sums?.[1], finish?.[2], finish?.[3]];
  assert.equal(new Set(own).size, 3);
  assert.deepEqual(apply?.slice(3, 5), own.slice(1));
});

/** The launches of a gradient with those outputs. */
function gradient(outputs: readonly string[]) {
  const names = ["dy", "x", "scale", "batchMean", "inverse", ...outputs.filter(Boolean)];
  const graph = declared(
    names.map(() => "float32"),
    names.map((name) => (["dy", "x", "dx"].includes(name) ? image : vector)),
    names,
  );
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
  assert.equal(memory.held.size, 0);
  return { launched: lines.map(operandsOf), address };
}

test("batchNormGradient without dX is two sums; what nothing reads is not made", () => {
  const { launched, address } = gradient(["", "dScale", ""]);
  assert.equal(launched.length, 2);
  assert.deepEqual(launched[1]?.slice(1), [address("scale"), address("inverse"), address("dScale")].map(String));
});

test("batchNormGradient goes over the elements with the coefficients that the sums gave", () => {
  const { launched, address } = gradient(["dx", "", "dBias"]);
  const [sums, finish, apply] = launched;
  assert.equal(finish?.[0], sums?.[3]);
  assert.equal(finish?.at(-1), String(address("dBias")));
  assert.deepEqual(apply?.slice(3, 6), finish?.slice(3, 6));
  assert.equal(apply?.at(-1), String(address("dx")));
});
