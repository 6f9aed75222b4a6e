import assert from "node:assert/strict";
import { test } from "node:test";
import { type Attributes, int, ints, type Node, type Tensor, text } from "../../src/graph/graph.js";
import { callOf } from "../../src/ops/call.js";
import { convType, transposeWindow, windowOf } from "../../src/ops/geometry.js";
import type { OpCall } from "../../src/ops/op.js";

function callWith(x: readonly number[], w: readonly number[], attributes: Attributes = {}): OpCall {
  const node: Node = {
    name: "n",
    domain: "",
    op: "Conv",
    inputs: ["x", "w"],
    outputs: ["y"],
    attributes,
    phase: "forward",
  };
  const tensor = (name: string, shape: readonly number[]): [string, Tensor] => [
    name,
    { name, dtype: "float32", shape, category: "input" },
  ];
  return callOf(node, new Map([tensor("x", x), tensor("w", w)]));
}

test("windowOf(call) resolves auto_pad: SAME_UPPER puts the odd one at the end, SAME_LOWER at the beginning", () => {
  const pads = (auto: string): readonly number[] =>
    windowOf(callWith([1, 1, 5, 6], [1, 1, 2, 3], { auto_pad: text(auto), strides: ints([1, 2]) }), [5, 6], [2, 3])
      .pads;
  assert.deepEqual(pads("SAME_UPPER"), [0, 0, 1, 1]);
  assert.deepEqual(pads("SAME_LOWER"), [1, 1, 0, 0]);
  assert.deepEqual(pads("VALID"), [0, 0, 0, 0]);
  assert.throws(
    () => windowOf(callWith([1, 1, 5], [1, 1, 2], { strides: ints([1, 1]) }), [5], [2]),
    /window of rank 1/,
  );
});

test("convType(call) counts the places of a spread window in the padded input", () => {
  const call = callWith([2, 4, 9, 8], [6, 2, 3, 3], {
    group: int(2),
    dilations: ints([2, 1]),
    strides: ints([2, 3]),
    pads: ints([1, 0, 2, 1]),
  });
  assert.deepEqual(convType(call)[0]?.shape, [2, 6, 4, 3]);
  assert.throws(() => convType(callWith([1, 3, 4], [2, 2, 3])), /shape mismatch: X \[1,3,4\] for W \[2,2,3\], group 1/);
  assert.throws(() => convType(callWith([1, 2, 2], [2, 2, 3])), /does not fit/);
});

test("transposeWindow(call) finds the pads that give the output shape asked for", () => {
  const plain = transposeWindow(callWith([1, 2, 4, 4], [2, 1, 3, 3], { strides: ints([2, 2]) }));
  assert.deepEqual(
    [plain.spatial, plain.window.pads],
    [
      [9, 9],
      [0, 0, 0, 0],
    ],
  );
  const asked = transposeWindow(
    callWith([1, 2, 4, 4], [2, 1, 3, 3], { strides: ints([2, 2]), output_shape: ints([8, 7]) }),
  );
  assert.deepEqual(
    [asked.spatial, asked.window.pads],
    [
      [8, 7],
      [1, 1, 0, 1],
    ],
  );
  const impossible = callWith([1, 2, 4], [2, 1, 3], { output_shape: ints([90]) });
  assert.throws(() => transposeWindow(impossible), /shape mismatch: output \[90\]/);
});
