import assert from "node:assert/strict";
import { after, test } from "node:test";
import { activationRows, ratioOf } from "../../src/memory/activation-rows.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { resnetProblem } from "../problem.js";
import { small } from "../swaps.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

test("activationRows(graph, …): recompute times are not zero, sources are saved activations, the producer makes the tensor", () => {
  const { graph, rows } = resnetProblem(runtime);
  const names = new Set(rows.map((row) => row.name));
  for (const row of rows) {
    assert.ok(row.recomputeMs > 0, row.name);
    assert.ok((row.recomputeRatio ?? 0) > 0, row.name);
    assert.ok(row.recomputeBytes >= row.memoryBytes, row.name);
    for (const source of row.recomputeSources) assert.ok(names.has(source), source);
    const producer = graph.nodes.find((node) => node.name === row.producer);
    assert.ok(producer?.outputs.includes(row.name), row.name);
    assert.ok(row.createdRank <= row.lastForwardAccess && row.lastForwardAccess < row.firstBackwardAccess);
  }
});

test("activationRows(graph, …) counts idle time between uses, recomputation from what is kept, temporaries in its peak", () => {
  // 1 ms a node: h a b v c d, loss, dv db da y
  const ms = small.nodes.map(() => 1);
  const rows = activationRows(small, ms, { swapMs: (bytes) => bytes / 64, swapMeasured: true });
  assert.deepEqual(
    rows.map(({ name, producer, shape, memoryBytes, swapMs, swapMeasured }) => [
      name,
      producer,
      shape,
      memoryBytes,
      swapMs,
      swapMeasured,
    ]),
    [
      ["a", "a", [4, 8], 128, 2, true],
      ["b", "b", [4, 8], 128, 2, true],
      ["loss", "loss", [], 4, 0.0625, true],
    ],
  );
  const [a, b] = rows;
  // a is read by b (rank 2) and by da (rank 9); b through v by c (rank 4) and by dv (rank 7)
  assert.deepEqual([a?.lastForwardAccess, a?.firstBackwardAccess, a?.inactiveMs], [2, 9, 6]);
  assert.deepEqual([b?.lastForwardAccess, b?.firstBackwardAccess, b?.inactiveMs], [4, 7, 2]);
  assert.deepEqual([a?.recomputeSources, a?.recomputeNodes, a?.recomputeMs], [[], ["h", "a"], 2]);
  assert.deepEqual([b?.recomputeSources, b?.recomputeNodes, b?.recomputeMs], [["a"], ["b", "v"], 2]);
  // h and a at once; the view v takes nothing
  assert.deepEqual([a?.recomputeBytes, b?.recomputeBytes], [256, 128]);
  assert.equal(a?.recomputeRatio, ratioOf(128, 2));
});

test("ratioOf(bytes, ms) of what is too short to measure is finite", () => {
  assert.equal(ratioOf(8, 2), 4);
  assert.equal(ratioOf(8, 0), 8e6);
});
