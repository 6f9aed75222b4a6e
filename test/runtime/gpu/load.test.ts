import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../../src/build/text.js";
import { layout } from "../../../src/memory/layout.js";
import { loadOnGpu } from "../../../src/runtime/gpu/load.js";
import { fakeGpu } from "./fake-gpu.js";

const graph = parseGraph("graph(float32[3,4] x) => (y) { y = Softmax(x) }");

test("loadOnGpu(graph) allocates its arena, reads and writes in it, and gives all back", async () => {
  const { gpu, memory, made } = fakeGpu();
  const step = loadOnGpu(graph, layout(graph), gpu);
  assert.equal(step.allocatedBytes, layout(graph).arenaBytes);
  step.write("x", new Uint8Array(48));
  await step.run();
  assert.equal(step.read("y").length, 48);
  assert.throws(() => step.write("x", new Uint8Array(4)), { message: "value of x has 4 bytes, not 48" });
  step.close();
  step.close();
  assert.deepEqual([memory.held.size, made.size], [0, 0]);
});

test("loadOnGpu(graph) that fails gives back what it had taken", () => {
  const { gpu, memory, made } = fakeGpu({ lacks: ["Softmax"] });
  assert.throws(() => loadOnGpu(graph, layout(graph), gpu), /no kernel: Softmax/);
  assert.deepEqual([memory.held.size, made.size], [0, 0]);
});
