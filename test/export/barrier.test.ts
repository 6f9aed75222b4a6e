import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseGraph, printGraph } from "../../src/build/text.js";
import { holdBack } from "../../src/export/barrier.js";
import { type Graph, tensorOf } from "../../src/graph/graph.js";
import { bytesOf, valuesOf } from "../../src/graph/values.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { loadWithValues } from "../../src/runtime/load.js";
import { lower } from "../../src/step/lower.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

/** The nodes from the backward phase on. */
const later = (graph: Graph): string[] => {
  const text = printGraph(graph);
  const lines = text.slice(text.indexOf("backward:")).split("\n");
  return lines.flatMap((line) => (/ = /.test(line) ? line.trim() : []));
};

const recomputed = parseGraph(`graph(float32[4] x) => (z) {
  a = Relu(x)
  b = Neg(a)
backward:
  c = Exp(b)
  a@recompute = Relu(x)
  a2@recompute = Sqrt(a@recompute)
  z = Mul(a2@recompute, c)
}`);

test("holdBack(graph) lets a recomputed block read its input only once the backward phase has come that far", () => {
  assert.deepEqual(later(holdBack(recomputed)), [
    "c = Exp(b)",
    "[c/none/Compress] c/none = Compress(c, const.bool.0)",
    "[c/made/Cast] c/made = Cast<to=7>(c/none)",
    "[x/held/Unsqueeze] x/held = Unsqueeze(x, c/made)",
    "a@recompute = Relu(x/held)",
    // what reads the block itself need not wait again
    "a2@recompute = Sqrt(a@recompute)",
    "z = Mul(a2@recompute, c)",
  ]);
});

test("holdBack(graph) holds a parameter back under a name that has no values of its own", () => {
  const graph = parseGraph(`graph(float32[2] x, parameter float32[2] w) => (z) {
  a = Relu(w)
  b = Neg(x)
backward:
  c = Exp(b)
  a@recompute = Relu(w)
  z = Mul(a@recompute, c)
}`);
  const w = { ...tensorOf(graph, "w"), data: bytesOf("float32", [1, 2]) };
  const held = holdBack({ ...graph, tensors: new Map(graph.tensors).set("w", w) });
  assert.ok(later(held).includes("a@recompute = Relu(w/held)"));
  assert.deepEqual(tensorOf(held, "w/held"), { name: "w/held", dtype: "float32", shape: [2], category: "temporary" });
});

test("holdBack(graph) takes a node of the model for what it is, though its name ends like a copy's", () => {
  const own = parseGraph(`graph(float32[4] x) => (z) {
  [mod@recompute/fc] a = Relu(x)
backward:
  c = Exp(a)
  [mod@recompute/fc.grad/Mul] z = Mul(a, c)
}`);
  assert.deepEqual(holdBack(own).nodes, own.nodes);
});

test("holdBack(graph) lets an update wait for all gradients, the last one first in the signal", () => {
  const updated = {
    ...parseGraph(`graph(float32[2] x, parameter float32[2] v, parameter float32[2] w) => (v2, w2) {
  h = Mul(x, x)
backward:
  dv = Neg(h)
  dw = Exp(h)
update:
  v2 = Sub(v, dv)
  w2 = Sub(w, dw)
}`),
    state: [
      { before: "v", after: "v2" },
      { before: "w", after: "w2" },
    ],
  };
  const held = later(holdBack(updated));
  assert.deepEqual(
    held.filter((line) => /Concat|Unsqueeze|= Sub/.test(line)),
    [
      "[update/after/Concat] update/after = Concat<axis=0>(dw/made, dv/made)",
      "[dv/held/Unsqueeze] dv/held = Unsqueeze(dv, update/after)",
      "v2 = Sub(v, dv/held)",
      "[dw/held/Unsqueeze] dw/held = Unsqueeze(dw, update/after)",
      "w2 = Sub(w, dw/held)",
    ],
  );
});

test("holdBack(graph) waits for a bfloat16 tensor in a type that Compress of opset 18 takes", () => {
  const graph = parseGraph(`graph(float32[2] x, bfloat16[2] u, parameter float32[2] w) => (w2) {
  h = Mul(x, x)
backward:
  d = Neg(u)
update:
  e = Cast<to=1>(d)
  w2 = Sub(w, e)
}`);
  const lines = later(holdBack({ ...graph, state: [{ before: "w", after: "w2" }] }));
  assert.deepEqual(
    lines.filter((line) => /wide|Compress/.test(line)),
    ["[d/wide/Cast] d/wide = Cast<to=1>(d)", "[d/none/Compress] d/none = Compress(d/wide, const.bool.0)"],
  );
});

test("holdBack(graph) without blocks and updates is the graph; with hideShapes its inputs are held", () => {
  const plain = parseGraph("graph(float32[2] x, float32[] s) => (y) { y = Mul(x, s) }");
  assert.deepEqual(holdBack(plain).nodes, plain.nodes);
  assert.deepEqual(
    holdBack(plain, true).nodes.map(({ op, inputs, outputs }) => `${outputs} = ${op}(${inputs})`),
    ["x/none = Compress(x,const.bool.0)", "x/made = Cast(x/none)", "x/held = Unsqueeze(x,x/made)", "y = Mul(x/held,s)"],
  );
});

test("holdBack(graph) computes the same", async () => {
  const result = async (graph: Graph): Promise<readonly number[]> => {
    const values = new Map([["x", bytesOf("float32", [1, -2, 3, 4])]]);
    const { step } = loadWithValues(lower(graph, runtime.hasKernel), runtime, values);
    await step.run();
    const z = valuesOf("float32", step.read("z"));
    step.close();
    return z;
  };
  const expected = await result(recomputed);
  assert.deepEqual(await result(holdBack(recomputed)), expected);
  assert.deepEqual(await result(holdBack(recomputed, true)), expected);
});
