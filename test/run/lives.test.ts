import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { timeline } from "../../src/memory/liveness.js";
import { livesOf } from "../../src/run/lives.js";
import { plannedGraph } from "../../src/run/planned-rows.js";
import { loadGraph } from "../../src/run/run.js";
import { goldenRun } from "../golden-run.js";

test("livesOf(graph) gives a storage to one tensor after the other", () => {
  const graph = parseGraph(`graph line(float32[4,8] x, parameter float32[8,4] w) => (c) {
    h = MatMul(x, w)
    a = Concat<axis=0>(h, h)
    b = Exp(a)
  backward:
    c = Sin(b)
  }`);
  const lives = livesOf(graph).map(({ name, bytes, first, last }) => [name, bytes, first, last]);
  assert.deepEqual(lives, [
    ["x", 128, 0, 3],
    ["w", 128, 0, 3],
    ["h", 64, 0, 1],
    ["a", 128, 1, 1],
    ["b", 128, 2, 2],
    ["c", 128, 3, 3],
  ]);
});

for (const name of ["mlp-cpu", "resnet-h100", "gpt2-h100"] as const)
  test(`livesOf(graph) adds up to the timeline at every node: ${name}, unplanned and planned`, () => {
    const run = goldenRun(name);
    for (const graph of [loadGraph(run.graph), plannedGraph(run)]) {
      assert.ok(graph);
      const total = new Array<number>(graph.nodes.length).fill(0);
      for (const { bytes, first, last } of livesOf(graph))
        for (let rank = first; rank <= last; rank++) total[rank] = (total[rank] ?? 0) + bytes;
      assert.deepEqual(total, timeline(graph).totalBytes);
    }
  });
