import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../../src/build/text.js";
import { layout } from "../../../src/memory/layout.js";
import { measureStep } from "../../../src/runtime/gpu/measurement.js";
import { Releases } from "../../../src/runtime/gpu/releases.js";
import { GpuStep } from "../../../src/runtime/gpu/step.js";
import { type FakeOptions, fakeGpu } from "./fake-gpu.js";

const graph = {
  ...parseGraph(`graph(float32[2,3] x) => (loss) {
  a = Softmax(x)
  v = Reshape(a, int64[1]{6})
  b = Softmax(a)
  loss = ReduceMax<keepdims=0>(v)
}`),
  loss: "loss",
};

async function measured(options: FakeOptions, iterations = 2, warmups = 0) {
  const { gpu, taken } = fakeGpu(options);
  const progress: string[] = [];
  const step = new GpuStep(graph, layout(graph), gpu, new Releases());
  const onProgress = (done: number, total: number): void => void progress.push(`${done}/${total}`);
  const measurement = await measureStep(step, { iterations, warmups, copyBytes: [8], onProgress });
  return { ...measurement, progress, lines: taken() };
}

test("measureStep(step) counts two warm-ups at least, eager steps, replays, and the one that times nodes", async () => {
  const { progress, losses, step, eagerStep } = await measured({});
  assert.equal(progress.at(-1), "7/7");
  assert.equal(losses.length, 7);
  assert.deepEqual(
    [step, eagerStep],
    [
      [1, 1],
      [1, 1],
    ],
  );
  assert.equal((await measured({}, 1, 4)).losses.length, 7);
});

test("measureStep(step) tells apart what the device holds", async () => {
  const { memory, workspaceBytes, copies } = await measured({});
  const { valuesBytes, contextBytes, processBytes } = memory ?? {};
  assert.deepEqual([valuesBytes, contextBytes, processBytes], [layout(graph).arenaBytes, 1000, 5000]);
  assert.equal(workspaceBytes?.length, graph.nodes.length);
  assert.deepEqual(copies, [{ bytes: 8, toHostMs: 1, toDeviceMs: 1 }]);
});

test("measureStep(step) stamps every node in one captured step; a view takes no time", async () => {
  const { nodes, lines } = await measured({});
  assert.deepEqual(nodes[1], [0]);
  assert.deepEqual(
    nodes.map((samples) => samples.length),
    [10, 1, 10, 10],
  );
  assert.ok(lines.filter((line) => line.endsWith("mutwo_stamp")).length > 4);
});

test("measureStep(step) without a compiler repeats each distinct node: equal ones share their times", async () => {
  const { nodes, lines } = await measured({ compiles: false });
  assert.deepEqual(
    nodes.map((samples) => samples.length),
    [5, 1, 5, 5],
  );
  assert.equal(nodes[0], nodes[2]);
  // the step, and for each of two distinct nodes once and repeated
  assert.equal(lines.filter((line) => line === "capture").length, 1 + 2 * 2);
});
