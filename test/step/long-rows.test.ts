import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { type Graph, tensorOf } from "../../src/graph/graph.js";
import { type Role, shapeOf, withLongerRows } from "../../src/step/long-rows.js";

const lines = (graph: Graph): string[] =>
  graph.nodes.map(
    ({ op, inputs, outputs }) =>
      `${op} ${inputs.map((name) => `[${tensorOf(graph, name).shape}]`).join("")}→[${tensorOf(graph, outputs[0] as string).shape}]`,
  );

test("shapeOf(graph, name) is the tensor's shape", () => {
  assert.deepEqual(shapeOf(parseGraph("graph(float32[6,4] x) => (y) { y = Exp(x) }"), "y"), [6, 4]);
});

test("withLongerRows(graph, roles, wide) pads what makes the rows, masks what sums over them, cuts what keeps columns", () => {
  const graph = parseGraph(`graph(float32[6,4] x, float32[4,5] w, float32[5] c, float32[5,3] u) => (s, a, d) {
    p = MatMul(x, w)
    e = Mul(p, c)
    s = ReduceMax(e, int64[1]{-1})
    a = Gemm(e, u)
    d = Gemm<transA=1>(e, x)
  }`);
  const roles = new Map<number, Role>([
    [0, "source"],
    [1, "inside"],
    [2, "reduces"],
    [3, "contracts"],
    [4, "passes"],
  ]);
  assert.deepEqual(lines(withLongerRows(graph, roles, new Set(["p", "e"]))), [
    "Pad [4,5][4]→[4,8]",
    "MatMul [6,4][4,8]→[6,8]",
    "Pad [5][2]→[8]",
    "Mul [6,8][8]→[6,8]",
    "Where [8][6,8][]→[6,8]",
    "Where [8][6,8][]→[6,8]",
    "ReduceMax [6,8][1]→[6,1]",
    "Pad [5,3][4]→[8,3]",
    "Gemm [6,8][8,3]→[6,3]",
    "Gemm [6,8][6,4]→[8,4]",
    "Pad [8,4][4]→[5,4]",
  ]);
});
