import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../../src/build/text.js";
import { layout } from "../../../src/memory/layout.js";
import { loadOnGpu } from "../../../src/runtime/gpu/load.js";
import { fakeGpu } from "./fake-gpu.js";

const graph = parseGraph("graph(float32[3,4] x, int64[3] t) => (y) { h = Softmax(x) y = Gather(h, t) }");

const values = new Map([
  ["x", new Uint8Array(48)],
  ["t", new Uint8Array(24)],
]);

test("stage(values) copies beside the kernels; the next run waits for it and puts the inputs where the step reads them", async () => {
  const { gpu, taken, memory, made } = fakeGpu();
  const step = loadOnGpu(graph, layout(graph), gpu);
  const { arenaBytes } = layout(graph);
  for (let i = 0; i < 3; i++) await step.run();
  assert.equal(step.allocatedBytes, arenaBytes);
  taken();
  step.stage?.(values);
  assert.equal(step.allocatedBytes, arenaBytes + 512);
  const sent = taken();
  assert.deepEqual(
    sent.map((line) => line.replace(/\d{3,}/g, "N").replace(/stream \w+/, "stream S")),
    ["put 48 bytes at N", "put 24 bytes at N", "copy N bytes N→N kind 1 stream S", "record N stream S"],
  );
  // one copy of all inputs, in a stream of its own
  assert.match(sent[2] as string, /^copy 512 bytes/);
  assert.ok(!/stream [123]$/.test(sent[2] as string));
  await step.run();
  const lines = taken().filter((line) => !line.startsWith("kernel"));
  const kinds = lines.map((line) => line.replace(/ \d+→.*| \d{3,}.*/, ""));
  assert.deepEqual(kinds, [
    "stream 1 waits for",
    "copy 48 bytes",
    "copy 24 bytes",
    "record",
    "record",
    "launch graph",
    "record",
  ]);
  // what was sent is taken once
  await step.run();
  assert.ok(!taken().some((line) => line.startsWith("copy")));
  step.close();
  assert.deepEqual([memory.held.size, made.size], [0, 0]);
});

test("two places on the host take turns: the third batch waits until the first has left its place", async () => {
  const { gpu, taken } = fakeGpu();
  const step = loadOnGpu(graph, layout(graph), gpu);
  const places: string[] = [];
  const waits: number[] = [];
  for (let i = 0; i < 4; i++) {
    taken();
    step.stage?.(values);
    const lines = taken();
    places.push(lines.find((line) => line.startsWith("put 48"))?.split(" at ")[1] as string);
    waits.push(lines.filter((line) => line.startsWith("host waits")).length);
    // the copy to the device waits until the step before has taken what lies there
    assert.equal(lines.filter((line) => /^stream \d+ waits for/.test(line)).length, i === 0 ? 0 : 1);
    await step.run();
  }
  assert.deepEqual(waits, [0, 0, 1, 1]);
  assert.equal(places[0], places[2]);
  assert.notEqual(places[0], places[1]);
  step.close();
});

test("stage(values) refuses a missing input and one of another size, and has sent nothing then", () => {
  const { gpu, taken } = fakeGpu();
  const step = loadOnGpu(graph, layout(graph), gpu);
  taken();
  assert.throws(() => step.stage?.(new Map([["x", new Uint8Array(48)]])), {
    message: "value of t has no bytes, not 24",
  });
  assert.throws(() => step.stage?.(new Map([...values, ["x", new Uint8Array(4)]])), {
    message: "value of x has 4 bytes, not 48",
  });
  assert.deepEqual(taken(), []);
  step.close();
});
