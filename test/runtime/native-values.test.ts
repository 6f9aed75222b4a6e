import assert from "node:assert/strict";
import { test } from "node:test";
import koffi from "koffi";
import { parseGraph } from "../../src/build/text.js";
import type { Node } from "../../src/graph/graph.js";
import { NativeValues } from "../../src/runtime/native-values.js";
import type { Pointer } from "../../src/runtime/ort-api.js";
import { writtenKernels } from "./written-kernels.js";

const graph = parseGraph(`graph(float32[2,3] x) => (y) {
  y = Reshape(x, int64[2]{3,2})
}`);
const [node] = graph.nodes as [Node];
const shape = node.inputs[1] as string;

const open = () => {
  const kernels = writtenKernels();
  const values = new NativeValues(graph, kernels, (name) => (name === "x" ? 64n : 128n));
  return { kernels, values };
};

const decoded = (array: Pointer, count: number): number[] =>
  Array.from(koffi.decode(array, koffi.array("uint64_t", count)) as BigUint64Array, Number);

test("NativeValues.array(names) holds one value for each tensor, null for absent ones", () => {
  const { kernels, values } = open();
  assert.deepEqual(decoded(values.array(["x", "", "y", "x"], node), 4), [1, 0, 2, 1]);
  assert.deepEqual(kernels.lines, ["value 1 float32[2,3] 24 bytes at 64", "value 2 float32[3,2] 24 bytes at 128"]);
});

test("NativeValues.array(names, node, hostSlots) puts constants into the host's memory, and nothing else", () => {
  const { kernels, values } = open();
  assert.deepEqual(decoded(values.array(["x", shape], node, [1]), 2), [1, 2]);
  assert.deepEqual(kernels.lines, ["value 1 float32[2,3] 24 bytes at 64", "value 2 int64[2] 16 bytes on the host"]);
  assert.throws(() => values.array(["x"], node, [0]), {
    message: "a kernel reads x on the host, and it is no constant (node y)",
    node: "y",
  });
});

test("NativeValues.release() releases each value once", () => {
  const { kernels, values } = open();
  values.array(["x", shape, "x"], node, [1]);
  values.release();
  values.release();
  assert.deepEqual(kernels.lines.slice(2), ["release value 1", "release value 2"]);
});
