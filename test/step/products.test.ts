import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import type { Graph, Node } from "../../src/graph/graph.js";
import { isProduct, storeAlongSums, turned, withOperands } from "../../src/step/products.js";

const graphOf = (text: string, inputs = "float32[2,6,4] x, float32[4,8] w"): Graph =>
  parseGraph(`graph(${inputs}) => (y) { ${text} }`);

const always = (): boolean => true;

const shown = ({ nodes }: Graph): string[] =>
  nodes.map(({ op, inputs, attributes }) => `${op}(${inputs.join(", ")})${attributes.transB?.value === 1 ? " B" : ""}`);

const none = { rows: 0, flops: 0 };

test("withOperands(product) keeps an op that can transpose, and turned tells that it does", () => {
  const gemm = graphOf("y = Gemm(x, w)", "float32[6,4] x, float32[4,8] w").nodes;
  const [node] = gemm as [Node];
  const both = withOperands(node, ["x", "w"], false, true);
  assert.deepEqual([isProduct(node), both.op, turned(both, 0), turned(both, 1)], [true, "Gemm", false, true]);
  const [plain] = graphOf("y = MatMul(x, w)").nodes as [Node];
  assert.deepEqual([withOperands(plain, ["x", "w"], true, false).op, turned(plain, 0)], ["FusedMatMul", false]);
});

test("storeAlongSums(graph) transposes matrices whose rows the sums do not go along", () => {
  assert.deepEqual(shown(storeAlongSums(graphOf("y = MatMul(x, w)"), always, none)), [
    "Transpose(w)",
    "FusedMatMul(x, y/Transpose:0) B",
  ]);
  const gemm = graphOf("y = Gemm(x, w, c)", "float32[6,4] x, float32[4,8] w, float32[8] c");
  assert.deepEqual(shown(storeAlongSums(gemm, always, none)), ["Transpose(w)", "Gemm(x, y/Transpose:0, c) B"]);
});

test("storeAlongSums(graph) leaves alone small products, other types and layouts, and what has no kernel", () => {
  const stays = (graph: Graph, hasKernel = always, from = none) =>
    assert.deepEqual(shown(storeAlongSums(graph, hasKernel, from)), shown(graph));
  const plain = graphOf("y = MatMul(x, w)");
  assert.equal(storeAlongSums(plain, always), plain);
  stays(plain, always, { rows: 13, flops: 0 });
  stays(plain, () => false);
  stays(graphOf("y = MatMul(x, w)", "float16[6,4] x, float16[4,8] w"));
  stays(graphOf("y = MatMul(x, w)", "float32[6,3] x, float32[3,8] w"));
  stays(graphOf("y = MatMul(x, w)", "float32[2,6,4] x, float32[2,4,8] w"));
  stays(graphOf("y = Gemm<transA=1>(x, w)", "float32[4,6] x, float32[4,8] w"));
  stays(graphOf("y = Gemm<transB=1>(x, w)", "float32[6,4] x, float32[8,4] w"));
});
