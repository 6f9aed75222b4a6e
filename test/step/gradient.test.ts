import assert from "node:assert/strict";
import { test } from "node:test";
import { Builder } from "../../src/build/build.js";
import { parseGraph } from "../../src/build/text.js";
import { backward } from "../../src/step/gradient.js";

/** The nodes that give the gradients of the wanted tensors, as text, and the gradients' names. */
function gradientsOf(text: string, wanted: readonly string[]) {
  const graph = parseGraph(text);
  const b = new Builder(graph);
  b.phase = "backward";
  b.category = "temporary";
  const seed = b.declare({ ...b.type("y"), name: "dy", category: "gradient" });
  const found = backward(b, graph.nodes, new Map([["y", seed]]), new Set(wanted));
  const nodes = b.nodes
    .slice(graph.nodes.length)
    .map(({ name, op, inputs }) => `${name} = ${op}(${inputs.join(", ")})`);
  return { nodes, found, b };
}

test("backward(b, nodes, seeds, wanted) sums up what several readers give, in scopes named after the nodes", () => {
  const { nodes, found, b } = gradientsOf(
    "graph g(float32[4] x, parameter float32[4] w) => (y) { a = Mul(x, w) s = Neg(w) y = Add(a, s) }",
    ["w"],
  );
  assert.deepEqual(nodes, [
    "s.grad/Neg = Neg(dy)",
    "a.grad/Mul = Mul(dy, x)",
    "a.grad/Add = Add(s.grad/Neg:0, a.grad/Mul:0)",
  ]);
  assert.deepEqual([...found], [["w", "a.grad/Add:0"]]);
  assert.equal(b.type("a.grad/Add:0").category, "gradient");
});

test("backward(b, nodes, …) asks nothing of nodes that no wanted tensor reaches", () => {
  const text = "graph g(float32[2,2] x, parameter float32[4] w) => (y) { a = Det(x) y = Mul(a, w) }";
  assert.deepEqual(gradientsOf(text, ["w"]).nodes, ["y.grad/Mul = Mul(dy, a)"]);
  assert.deepEqual([...gradientsOf(text, ["unknown"]).found], []);
});

test("backward(b, nodes, …) refuses an op without gradient on the way", () => {
  const text = "graph g(parameter float32[2,2] w) => (y) { y = Det(w) }";
  assert.throws(
    () => gradientsOf(text, ["w"]),
    /^Error: no gradient: Det \(node y\); --freeze the parameters before it, or /,
  );
});
