import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import type { Graph } from "../../src/graph/graph.js";
import { inheritAnswers, perObject } from "../../src/graph/memo.js";

test("perObject(compute) computes once for each object", () => {
  let calls = 0;
  const countOf = perObject(({ nodes }: Graph) => {
    calls++;
    return { nodes: nodes.length };
  });
  const graph = parseGraph("graph g(float32[2] x) => (y) { y = Exp(x) }");
  assert.equal(countOf(graph), countOf(graph));
  assert.deepEqual([countOf(graph), calls], [{ nodes: 1 }, 1]);
  assert.deepEqual([countOf({ ...graph, nodes: [] }), calls], [{ nodes: 0 }, 2]);
});

test("inheritAnswers(copy, original) hands over what has been computed, and computes nothing", () => {
  let calls = 0;
  const countOf = perObject(({ nodes }: Graph) => {
    calls++;
    return { nodes: nodes.length };
  });
  const graph = parseGraph("graph g(float32[2] x) => (y) { y = Exp(x) }");
  const [early, late] = [{ ...graph }, { ...graph }];
  inheritAnswers(early, graph);
  assert.equal(calls, 0);
  const answer = countOf(graph);
  inheritAnswers(late, graph);
  assert.equal(countOf(late), answer);
  assert.notEqual(countOf(early), answer);
  assert.equal(calls, 2);
});
