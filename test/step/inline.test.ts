import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import type { Graph } from "../../src/graph/graph.js";
import { groupsOf, sourcesOf } from "../../src/step/groups.js";
import { inline } from "../../src/step/inline.js";
import { passesOf } from "../../src/step/order.js";
import { linesOf } from "../lines.js";

/** The graph with what groups make again, and the outputs of each group of the backward phase. */
function inlined(given: Graph) {
  const { graph, groupOf } = inline(given, groupsOf(given, sourcesOf(given), passesOf(given)));
  const groups = [...new Set(groupOf.values())].map(({ members }) => members.map((rank) => graph.nodes[rank]));
  return {
    lines: linesOf(graph, "backward").map((line) => line.replace(/const\.float32\.\d+/g, "0")),
    groups: groups
      .filter((nodes) => nodes[0]?.phase === "backward")
      .map((nodes) => nodes.map((node) => node?.outputs.join(" "))),
  };
}

/** A norm with an activation, a product, and what their backward phase is. */
const block = (forward: string, backward: string) =>
  parseGraph(`graph g(float32[8,3,64] x, float32[8,3,64] r, parameter float32[3] v, parameter float32[64,64] w) => (y) {
  h = MatMul(x, w)
  n = mutwo.BatchNormalizationApply(h, v, v, v, v)
  ${forward}
  p = MatMul(a, w)
backward:
  d = MatMul(p, w)
  q = MatMul(a, w)
  ${backward}
  slope, tilt, level, ds, db = mutwo.BatchNormalizationGradientSums(e, h, v, v, v)
  f = mutwo.BatchNormalizationGradientApply(e, h, v, slope, tilt, level)
  y = Add(q, f)
}`);

test("inline(groups) makes a mask from the norm's input, which is read anyway, and the gradient before it in both passes", () => {
  const { lines, groups } = inlined(
    block("a = Relu(n)", "g = Greater(a, float32[]{0})\n  e = Where(g, d, float32[]{0})"),
  );
  assert.deepEqual(lines, [
    "  d = MatMul(p, w)",
    "  q = MatMul(a, w)",
    "  n@again1 = mutwo.BatchNormalizationApply(h, v, v, v, v)",
    "  a@again2 = Relu(n@again1)",
    "  g = Greater(a@again2, 0)",
    "  e = Where(g, d, 0)",
    "  slope, tilt, level, ds, db = mutwo.BatchNormalizationGradientSums(e, h, v, v, v)",
    "  n@again3 = mutwo.BatchNormalizationApply(h, v, v, v, v)",
    "  a@again4 = Relu(n@again3)",
    "  g@again5 = Greater(a@again4, 0)",
    "  e@again6 = Where(g@again5, d, 0)",
    "  f = mutwo.BatchNormalizationGradientApply(e@again6, h, v, slope, tilt, level)",
    "  y = Add(q, f)",
  ]);
  assert.deepEqual(groups, [
    ["n@again1", "a@again2", "g", "e", "slope tilt level ds db"],
    ["n@again3", "a@again4", "g@again5", "e@again6", "f", "y"],
  ]);
});

test("inline(groups) reads what would have to be made from more than is read anyway", () => {
  // the activation's output is one tensor, what it is made from two
  const residual = inlined(
    block("s = Add(n, r)\n  a = Relu(s)", "g = Greater(a, float32[]{0})\n  e = Where(g, d, float32[]{0})"),
  );
  assert.ok(residual.lines.includes("  g = Greater(a, 0)"));
  // the gradient in front is a sum of two: it is written once, and read
  const sum = inlined(block("a = Relu(n)", "e = Add(d, r)"));
  assert.ok(sum.lines.includes("  f = mutwo.BatchNormalizationGradientApply(e, h, v, slope, tilt, level)"));
});

test("inline(groups) writes what another node reads, and then reads it", () => {
  const { lines } = inlined(
    parseGraph(`graph g(float32[8,3,64] d, float32[8,3,64] h, float32[3] v, float32[64,64] w) => (z, f) {
backward:
  e = Mul(d, d)
  z = MatMul(e, w)
  slope, tilt, level, ds, db = mutwo.BatchNormalizationGradientSums(e, h, v, v, v)
  f = mutwo.BatchNormalizationGradientApply(e, h, v, slope, tilt, level)
}`),
  );
  assert.equal(lines.at(-1), "  f = mutwo.BatchNormalizationGradientApply(e, h, v, slope, tilt, level)");
});

test("inline(groups) makes nothing from what is renewed during the step", () => {
  const graph = parseGraph(`graph g(float32[64] x, buffer float32[64] m, float32[64,64] w) => (y) {
  a = Mul(x, m)
  m2 = Add(m, x)
  b = MatMul(a, w)
backward:
  c = MatMul(b, w)
  d = Mul(a, c)
  y = Mul(d, x)
  state m -> m2
}`);
  assert.deepEqual(inlined(graph).lines, [
    "  c = MatMul(b, w)",
    "  d = Mul(a, c)",
    "  y = Mul(d, x)",
    "  state m -> m2",
  ]);
});
