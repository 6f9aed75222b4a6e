import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { producers } from "../../src/graph/graph.js";
import { lastReads, slicesOf } from "../../src/memory/last-reads.js";
import { originOf } from "../../src/memory/views.js";

test("lastReads(graph) is the rank of the last node that reads a tensor or a view of it; outputs are read at the end", () => {
  const graph = parseGraph(`graph(float32[4] x) => (y) {
    a = Relu(x)
    v = Identity(a)
    y = Relu(x)
    z = Relu(v)
  }`);
  const read = lastReads(graph, producers(graph), originOf(graph), new Map());
  const rankOf = (name: string): number => graph.nodes.findIndex(({ outputs }) => outputs.includes(name));
  assert.equal(read.get("a"), rankOf("z"));
  assert.equal(read.get("y"), graph.nodes.length - 1);
  assert.equal(read.get("x"), rankOf("y"));
});

test("slicesOf(graph, isWanted) are the tensors within each flat buffer, of those that are wanted", () => {
  const { tensors, ...graph } = parseGraph("graph(float32[4] flat) => (y) { y = Relu(flat) }");
  const part = (name: string, offsetBytes: number) =>
    [
      name,
      { name, dtype: "float32", shape: [2], category: "parameter", within: { tensor: "flat", offsetBytes } },
    ] as const;
  const whole = { ...graph, tensors: new Map([...tensors, part("p", 0), part("q", 8)]) };
  assert.deepEqual([...slicesOf(whole, () => true)], [["flat", ["p", "q"]]]);
  assert.deepEqual([...slicesOf(whole, (name) => name === "q")], [["flat", ["q"]]]);
});
