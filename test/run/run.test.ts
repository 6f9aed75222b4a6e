import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import type { Tensor } from "../../src/graph/graph.js";
import { loadGraph, newRunId, saveGraph } from "../../src/run/run.js";

test("newRunId(model) names time and model", () => {
  const id = newRunId("folder/my model.onnx", new Date("2026-01-02T03:04:05Z"));
  assert.match(id, /^20260102-030405-my_model-[0-9a-f]{4}$/);
});

test("saveGraph and loadGraph are inverse but for the values of large tensors", () => {
  const small = parseGraph("graph g(float32[2] x, float32[2] w) => (y) { y = Mul(x, w) }");
  const withData = (name: string, category: "constant" | "parameter", bytes: number): [string, Tensor] => [
    name,
    { name, dtype: "uint8", shape: [bytes], category, data: new Uint8Array(bytes).fill(7) },
  ];
  const large = [
    withData("axes", "constant", 1024),
    withData("table", "constant", 1025),
    withData("weights", "parameter", 8),
  ];
  const graph = { ...small, tensors: new Map([...small.tensors, ...large]) };
  const again = loadGraph(JSON.parse(JSON.stringify(saveGraph(graph))));
  assert.deepEqual(again.nodes, graph.nodes);
  assert.deepEqual(again.tensors.get("x"), graph.tensors.get("x"));
  assert.deepEqual(again.tensors.get("axes"), graph.tensors.get("axes"));
  assert.deepEqual([again.tensors.get("table")?.data, again.tensors.get("weights")?.data], [undefined, undefined]);
});
