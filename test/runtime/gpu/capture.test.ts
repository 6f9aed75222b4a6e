import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../../src/build/text.js";
import { CapturedStep, canCapture, isFragile } from "../../../src/runtime/gpu/capture.js";

const means = { cudnn: { supports: () => true }, compiles: true, deterministic: false, tf32: true, attends: true };

const withoutCompiler = { ...means, compiles: false };

test("canCapture(graph) is false where ONNX Runtime's kernels draw random numbers", () => {
  const noise = parseGraph("graph(float32[3,4] x) => (y) { y = RandomNormalLike<seed=1>(x) }");
  assert.equal(canCapture(noise, means), true);
  assert.equal(canCapture(noise, withoutCompiler), false);
  const plain = parseGraph("graph(float32[3,4] x) => (y) { y = Softmax(x) }");
  assert.equal(canCapture(plain, withoutCompiler), true);
});

for (const [text, fragile] of [
  ["graph(float32[3,4] x) => (y) { y = Softmax(x) }", false],
  ["graph(float32[3,4] x) => (y) { y = GatherND(x, int64[2,1]{0,2}) }", true],
  ["graph(float32[2,1,3,4] x, float32[1,5,4,2] w) => (y) { y = MatMul(x, w) }", true],
  ["graph(float32[2,5,3,4] x, float32[2,5,4,2] w) => (y) { y = MatMul(x, w) }", false],
  ["graph(float32[2,5,3,4] x, float32[4,2] w) => (y) { y = MatMul(x, w) }", false],
] as const)
  test(`isFragile(${text}) is ${fragile}`, () => assert.equal(isFragile(parseGraph(text), means), fragile));

/** A step whose captures are counted. */
const captured = (fragile: boolean) => {
  const state = { version: 0, uses: 0, made: 0, held: new Set<bigint>() };
  const gpu = {
    kernelUses: () => state.uses,
    version: () => state.version,
    cuda: { destroyGraph: (graph: bigint) => void state.held.delete(graph) },
  };
  const step = new CapturedStep(fragile, gpu, () => {
    state.uses++; // a capture calls the kernels
    const graph = BigInt(++state.made);
    state.held.add(graph);
    return graph;
  });
  return { state, step };
};

test("graph() is captured once, and again when the workspace has moved", () => {
  const { state, step } = captured(false);
  assert.deepEqual([step.graph(), step.graph()], [1n, 1n]);
  state.uses++;
  assert.equal(step.graph(), 1n);
  state.version++;
  assert.equal(step.graph(), 2n);
  assert.deepEqual([...state.held], [2n]);
  step.forget();
  step.forget();
  assert.equal(state.held.size, 0);
});

test("graph() of a fragile step is captured again when kernels have been called since", () => {
  const { state, step } = captured(true);
  assert.deepEqual([step.graph(), step.graph()], [1n, 1n]);
  state.uses++;
  assert.deepEqual([step.graph(), step.graph()], [2n, 2n]);
});
