import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { layout } from "../../src/memory/layout.js";
import { originOf, shownBy, viewStartBytes, viewsOf } from "../../src/memory/views.js";

const graph = parseGraph(`graph g(float32[2,3] x) => (y) {
  v = Reshape(x, int64[1]{6})
  a = Exp(v)
  b = Reshape(a, int64[2]{3,2})
  c = Unsqueeze(b, int64[1]{0})
  y = Exp(c)
}`);

test("originOf(graph) sees through views of views, and leaves other tensors as they are", () => {
  assert.deepEqual(["v", "a", "b", "c", "y", "x", "nothing"].map(originOf(graph)), [
    "x",
    "a",
    "a",
    "a",
    "y",
    "x",
    "nothing",
  ]);
  // of some nodes: what others show is not known
  assert.equal(originOf({ nodes: graph.nodes.slice(3) })("c"), "b");
});

test("viewsOf(graph) lists the views of each tensor that is none", () => {
  assert.deepEqual(
    [...viewsOf(graph)],
    [
      ["x", ["v"]],
      ["a", ["b", "c"]],
    ],
  );
  assert.deepEqual(graph.nodes.map(shownBy), ["x", undefined, "a", "b", undefined]);
});

test("viewStartBytes(node, graph) is how far a view of rows is into what it shows, seen through other views", () => {
  const rows = parseGraph(`graph g(float32[6,4] x) => (y) {
  a = Exp(x)
  b = mutwo.Rows<start=2, count=3>(a)
  c = Reshape(b, int64[2]{6,2})
  d = mutwo.Rows<start=1, count=2>(c)
  y = Exp(d)
}`);
  assert.deepEqual(
    rows.nodes.map((node) => viewStartBytes(node, rows)),
    [0, 32, 0, 8, 0],
  );
  const { offsets } = layout(rows);
  const at = (name: string): number => (offsets.get(name) as number) - (offsets.get("a") as number);
  assert.deepEqual(["a", "b", "c", "d"].map(at), [0, 32, 32, 40]);
});
