import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import {
  bytesPerElement,
  consumers,
  dtypeOfNumber,
  dtypes,
  elementCount,
  is16Bit,
  isFloat,
  isForward,
  onnxNumbers,
  phases,
  producers,
  prune,
  tensorBytes,
  tensorOf,
} from "../../src/graph/graph.js";

const graph =
  parseGraph(`graph g(float32[2] x, parameter float32[4] p, parameter float32[2] w within p+8, gradient float32[4] g) => (y) {
  h = Mul(x, w)
  unused, rest = Split<num_outputs=2>(h)
  y = Add(h, h)
update:
  gradient a within g+0 = Exp(h)
  s = Mul(p, g)
  next = Sub(p, s)
  late = Exp(next)
  state p -> next
}`);

test("elementCount(shape) and tensorBytes(tensor) are those of a scalar, a vector, an empty tensor", () => {
  assert.deepEqual([[], [3], [2, 3, 4], [2, 0]].map(elementCount), [1, 3, 24, 0]);
  assert.deepEqual(
    [tensorBytes({ dtype: "float16", shape: [2, 3] }), tensorBytes({ dtype: "int64", shape: [] })],
    [12, 8],
  );
});

test("isFloat(dtype), is16Bit(dtype) and isForward(phase) hold for these", () => {
  assert.deepEqual(dtypes.filter(isFloat), ["float32", "float64", "float16", "bfloat16"]);
  assert.deepEqual(dtypes.filter(is16Bit), ["float16", "bfloat16"]);
  assert.deepEqual(phases.filter(isForward), ["forward", "loss"]);
});

test("dtypeOfNumber(number) is the type whose ONNX number it is; others are refused with the place", () => {
  for (const dtype of dtypes) {
    assert.equal(dtypeOfNumber(onnxNumbers[dtype]), dtype);
    assert.ok([1, 2, 4, 8].includes(bytesPerElement(dtype)));
  }
  assert.throws(() => dtypeOfNumber(8, "tensor t"), /^Error: unsupported element type: string \(tensor t\)$/);
  assert.throws(() => dtypeOfNumber(14), /^Error: unsupported element type: complex64$/);
  assert.throws(() => dtypeOfNumber(99), /^Error: unsupported element type: number 99, which ONNX does not have$/);
});

test("tensorOf(graph, name) refuses unknown tensors", () => {
  assert.equal(tensorOf(graph, "h").shape[0], 2);
  assert.throws(() => tensorOf(graph, "nothing"), /^Error: unknown tensor: nothing \(graph g\)$/);
});

test("producers(graph) and consumers(graph) name nodes by rank, each reader once", () => {
  assert.deepEqual([...producers(graph)].slice(0, 4), [
    ["h", 0],
    ["unused", 1],
    ["rest", 1],
    ["y", 2],
  ]);
  assert.deepEqual(consumers(graph).get("h"), [1, 2, 3]);
  assert.equal(consumers(graph).has("y"), false);
});

test("prune(graph) leaves what outputs and state depend on, parts of flat buffers with the buffer", () => {
  const { nodes, tensors, inputs } = prune(graph);
  assert.deepEqual(
    nodes.map(({ name }) => name),
    ["h", "y", "a", "s", "next"],
  );
  assert.deepEqual(
    ["x", "p", "w", "g", "a", "unused", "late"].filter((name) => tensors.has(name)),
    ["x", "p", "w", "g", "a"],
  );
  assert.deepEqual(inputs, ["x"]);
  assert.deepEqual(prune({ ...graph, outputs: [], state: [] }).inputs, []);
});
