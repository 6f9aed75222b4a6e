import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import type { Node } from "../../src/graph/graph.js";
import { bytesOf, valuesOf } from "../../src/graph/values.js";
import { layout } from "../../src/memory/layout.js";
import { hostCopy } from "../../src/runtime/host-copies.js";
import { HostMemory } from "../../src/runtime/host-memory.js";

/** What a graph of one node makes of float32 values of its inputs; undefined if a kernel is to be called. */
function copied(text: string, values: Readonly<Record<string, number[]>>): number[] | undefined {
  const graph = parseGraph(text);
  const memory = new HostMemory(graph, layout(graph));
  for (const [name, list] of Object.entries(values)) memory.write(name, bytesOf("float32", list));
  const copy = hostCopy(graph.nodes[0] as Node, graph, memory);
  copy?.();
  return copy && valuesOf("float32", memory.read("y"));
}

const [a, b] = [
  [1, 2, 3, 4],
  [5, 6, 7, 8, 9, 10],
];

test("hostCopy(Concat) lays rows side by side along any axis, counted from either end", () => {
  const along = (axis: number, shape: string, wide: string) =>
    copied(`graph(float32[${shape}] a, float32[${wide}] b) => (y) { y = Concat<axis=${axis}>(a, b) }`, { a, b });
  assert.deepEqual(along(0, "2,2", "3,2"), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  assert.deepEqual(along(1, "2,2", "2,3"), [1, 2, 5, 6, 7, 3, 4, 8, 9, 10]);
  assert.deepEqual(along(-1, "2,2", "2,3"), [1, 2, 5, 6, 7, 3, 4, 8, 9, 10]);
  assert.deepEqual(along(1, "1,2,2", "1,3,2"), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
});

test("hostCopy(node) leaves all other ops to kernels", () => {
  assert.equal(copied("graph(float32[4] a) => (y) { y = Relu(a) }", { a }), undefined);
});
