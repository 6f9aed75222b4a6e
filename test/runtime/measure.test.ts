import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { bytesOf } from "../../src/graph/values.js";
import { measureOnHost, readLoss } from "../../src/runtime/measure.js";
import type { RunOptions } from "../../src/runtime/runtime.js";

const graph = {
  ...parseGraph("graph(float32[2] x) => (loss) { h = Relu(x)\n loss = ReduceSum<keepdims=0>(h) }"),
  loss: "loss",
};

test("readLoss(graph, read) is a number, and null for what is not finite or where there is none", () => {
  const lossOf = (value: number) => readLoss(graph, () => bytesOf("float32", [value]));
  assert.deepEqual([lossOf(1.5), lossOf(Number.NaN), lossOf(Number.POSITIVE_INFINITY)], [1.5, null, null]);
  const { loss: _, ...without } = graph;
  assert.equal(
    readLoss(without, () => bytesOf("float32", [1.5])),
    null,
  );
});

/** A step whose i-th run takes i ms, and its nodes i and 10·i. */
function fakeStep() {
  let count = 0;
  const runs: RunOptions[] = [];
  const run = async (options: RunOptions = {}) => {
    count++;
    runs.push(options);
    return { stepMs: count, nodeMs: Float64Array.of(count, 10 * count), observed: new Map() };
  };
  return { run, runs, read: () => bytesOf("float32", [count]) };
}

test("measureOnHost(…) alternates timed and whole steps after the warm-ups, and counts neither twice", async () => {
  const step = fakeStep();
  const progress: string[] = [];
  const measured = await measureOnHost(graph, step, async () => Float64Array.of(5, 6), {
    iterations: 2,
    warmups: 1,
    copyBytes: [],
    onProgress: (done, total) => void progress.push(`${done}/${total}`),
  });
  assert.deepEqual(
    step.runs.map(({ timeNodes }) => timeNodes),
    [false, true, false, true, false],
  );
  assert.deepEqual(measured.nodes, [
    [2, 4],
    [20, 40],
  ]);
  assert.deepEqual(measured.step, [3, 5]);
  assert.deepEqual(measured.losses, [1, 2, 3, 4, 5]);
  assert.deepEqual(measured.workspaceBytes, [5, 6]);
  assert.deepEqual(progress, ["1/5", "2/5", "3/5", "4/5", "5/5"]);
});
