import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import type { Graph } from "../../src/graph/graph.js";
import { peakBytes, peakHolders, timeline } from "../../src/memory/liveness.js";
import { storages } from "../../src/memory/storages.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { fixtureStep, resnetProblem } from "../problem.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

/** Live bytes at each node by an obvious count: every storage is asked at every node. */
function slowPeak(graph: Graph): number {
  const { all } = storages(graph);
  return Math.max(
    ...graph.nodes.map((_, rank) =>
      all.reduce((sum, s) => sum + (s.resident || (s.start <= rank && rank <= s.end) ? s.bytes : 0), 0),
    ),
  );
}

test("timeline(graph) and peakBytes(graph) equal a slow recount", () => {
  const mlp = fixtureStep(runtime, "mlp.ts.onnx", { loss: "mse", optimizer: "adam" });
  for (const graph of [mlp, resnetProblem(runtime).graph]) {
    assert.equal(timeline(graph).peakBytes, slowPeak(graph));
    assert.equal(peakBytes(graph), slowPeak(graph));
  }
});

/** h dies after a, which is too large for its place; b is written over a, as c is over b. */
const line = parseGraph(`graph line(float32[4,8] x, parameter float32[8,4] w) => (c) {
  h = MatMul(x, w)
  a = Concat<axis=0>(h, h)
  b = Exp(a)
backward:
  c = Sin(b)
}`);

test("timeline(graph) counts each storage once, in the category of the tensor that holds it then", () => {
  const { byCategory, totalBytes, peakRank, residentBytes } = timeline(line);
  assert.deepEqual(byCategory.activation, [64, 64 + 128, 128, 0]);
  assert.deepEqual(byCategory.temporary, [0, 0, 0, 128]);
  assert.deepEqual([byCategory.input[0], byCategory.parameter[3], residentBytes], [128, 128, 256]);
  assert.deepEqual(totalBytes, [320, 448, 384, 384]);
  assert.deepEqual([peakRank, timeline(line).peakBytes], [1, 448]);
});

test("timeline(graph) of a graph without nodes is what is resident", () => {
  const empty = parseGraph("graph empty(float32[4] x) => (x) {}");
  assert.deepEqual([timeline(empty).totalBytes, timeline(empty).peakBytes, peakBytes(empty)], [[], 16, 16]);
});

test("peakHolders(graph) are the storages at the peak, the largest first, with who makes them", () => {
  assert.deepEqual(
    peakHolders(line).map(({ name, bytes, producer }) => [name, bytes, producer]),
    [
      ["a", 128, "a"],
      ["w", 128, null],
      ["x", 128, null],
      ["h", 64, "h"],
    ],
  );
  assert.deepEqual(
    peakHolders(line, 3).map(({ name }) => name),
    ["c", "w", "x"],
  );
});
