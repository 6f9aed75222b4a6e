import assert from "node:assert/strict";
import { test } from "node:test";
import type { Knowledge } from "../../src/model/expansion.js";
import { alwaysGoesOn, checkMade, checkTripsInside } from "../../src/model/made-nodes.js";
import type { ModelNode, Subgraph } from "../../src/model/model.js";
import { parseOnnx } from "../../src/model/onnx.js";
import { file, graph, held, node } from "../written.js";

const inner = () =>
  graph(
    ["k: int64[]", "p: bool[]", "a: float32"],
    [node("b = Sin(a)"), node("q = Identity(p)")],
    ["q: bool", "b: float32"],
  );

/** A Loop whose body holds another one, of `m` trips or of those that its own node makes. */
function nested(body: ReturnType<typeof graph>): { loop: ModelNode; known: Knowledge } {
  const whole = graph(
    ["x: float32[2]"],
    [node("y = Loop(m, , x)", { body }, "Outer")],
    ["y: float32"],
    [held("m", "int64", [], [1000])],
  );
  const model = parseOnnx(file(whole), { file: "m.onnx", folder: null });
  const known: Knowledge = {
    model,
    value: () => undefined,
    type: () => undefined,
    sequences: new Map(),
    freeScope: (wish) => wish,
    mayGuess: true,
  };
  return { loop: model.nodes[0] as ModelNode, known };
}

const outer = (nodes: ReturnType<typeof node>[], made = "b") =>
  graph(
    ["t: int64[]", "go: bool[]", "x1: float32"],
    [...nodes, node("on = Identity(go)")],
    ["on: bool", `${made}: float32`],
  );

test("checkTripsInside(node, trips, known) multiplies the trips of loops that stand in one another", () => {
  const { loop, known } = nested(outer([node("b = Loop(m, , x1)", { body: inner() }, "Inner")]));
  // 2 nodes of 1000 trips, and 2 of the body around them, 49 or 50 times
  assert.doesNotThrow(() => checkTripsInside(loop, 49, known));
  assert.throws(() => checkTripsInside(loop, 50, known), {
    message: /^loops make more than 100000 nodes \(node Outer\); .*--dim/,
  });
});

test("checkTripsInside(node, trips, known) does not count what may be left out, made once, or unknown", () => {
  const unneeded = outer([node("c = Loop(m, , x1)", { body: inner() }), node("b = Neg(x1)")]);
  const computed = outer([node("n = Add(m, t)"), node("b = Loop(n, , x1)", { body: inner() })]);
  const ends = graph(
    ["k: int64[]", "p: bool[]", "a: float32"],
    [node("b = Sin(a)"), node("q = Not(p)")],
    ["q: bool", "b: float32"],
  );
  const stopped = outer([node("b = Loop(m, , x1)", { body: ends })]);
  const once = outer([...Array.from({ length: 50 }, (_, i) => node(`c${i} = Neg(m)`)), node("b = Neg(x1)")]);
  for (const body of [unneeded, computed, stopped, once]) {
    const { loop, known } = nested(body);
    assert.doesNotThrow(() => checkTripsInside(loop, 4000, known));
  }
});

test("checkMade(node, made) refuses more nodes than any model needs", () => {
  const { loop } = nested(outer([node("b = Neg(x1)")]));
  assert.doesNotThrow(() => checkMade(loop, 100_000));
  assert.throws(() => checkMade(loop, 100_001), /loops make more than 100000 nodes \(node Outer\)/);
});

test("alwaysGoesOn(body) follows what a body's condition is handed on by, and ends where that goes in circles", () => {
  const body = (nodes: ReturnType<typeof node>[]): Subgraph =>
    nested(
      graph(["t: int64[]", "go: bool[]", "x: float32"], [...nodes, node("b = Neg(x)")], ["on: bool", "b: float32"]),
    ).loop.subgraphs?.body as Subgraph;
  assert.equal(alwaysGoesOn(body([node("i = Identity(go)"), node("on = Identity(i)")])), true);
  assert.equal(alwaysGoesOn(body([node("on = Not(go)")])), false);
  assert.equal(alwaysGoesOn(body([node("on = Identity(i)"), node("i = Identity(on)")])), false);
});
