import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../../src/build/text.js";
import { layout } from "../../../src/memory/layout.js";
import { refuseHuge } from "../../../src/runtime/gpu/huge.js";
import { loadOnGpu } from "../../../src/runtime/gpu/load.js";
import { fakeGpu } from "./fake-gpu.js";

const negated = (rows: number) => parseGraph(`graph(float32[${rows},65536] x) => (y) { y = Neg(x) }`);

test("refuseHuge(graph with a tensor of 2³¹ elements or more) says which, and what to do; a view is no reason", () => {
  const what = "too large for a GPU's kernels: x has 2147483648 elements, more than 2147483647 (node y)";
  const hint = "use a smaller batch, or for a language model --loss ce:chunks=8 (mutwo help losses)";
  assert.throws(() => refuseHuge(negated(32768)), { message: `${what}; ${hint}` });
  refuseHuge(negated(32767));
  refuseHuge(parseGraph("graph(float32[32768,65536] x) => (y) { y = Reshape(x, int64[1]{-1}) }"));
});

test("loadOnGpu refuses such a graph before anything is allocated", () => {
  const { gpu, memory } = fakeGpu();
  const graph = negated(32768);
  assert.throws(() => loadOnGpu(graph, layout(graph), gpu), /^Error: too large for a GPU's kernels/);
  assert.equal(memory.held.size, 0);
});
