import assert from "node:assert/strict";
import { test } from "node:test";
import type { Graph, Tensor } from "../../src/graph/graph.js";
import { withoutData } from "../../src/train/without-data.js";

test("withoutData(graph, held) leaves out what is held elsewhere, and copies what is a view of more", () => {
  const file = new Uint8Array(100);
  const tensor = (name: string, data?: Uint8Array): [string, Tensor] => [
    name,
    { name, dtype: "uint8", shape: [4], category: "constant", ...(data ? { data } : {}) },
  ];
  const own = Uint8Array.of(1, 2, 3, 4);
  const tensors = new Map([
    tensor("held", own),
    tensor("view", file.subarray(8, 12)),
    tensor("own", own),
    tensor("none"),
  ]);
  const graph: Graph = { name: "g", nodes: [], tensors, inputs: [], outputs: [], state: [] };
  const made = withoutData(graph, (name) => name === "held").tensors;
  assert.deepEqual([...made.keys()], [...tensors.keys()]);
  assert.equal(made.get("held")?.data, undefined);
  assert.equal(made.get("view")?.data?.buffer.byteLength, 4);
  assert.equal(made.get("own")?.data, own);
  assert.equal(tensors.get("held")?.data, own);
});
