import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import type { Graph, Node, Tensor } from "../../src/graph/graph.js";
import { randomFrom } from "../../src/graph/random.js";
import { groupsOf, sourcesOf } from "../../src/step/groups.js";
import { passesOf } from "../../src/step/order.js";

/** A forward graph of nodes [op, inputs]; node i makes `t<i>`, all tensors have one shape. */
function graphOf(rows: readonly (readonly [op: string, ...inputs: string[]])[], width = 4): Graph {
  const tensors = new Map<string, Tensor>();
  const add = (name: string, category: Tensor["category"]): void =>
    void tensors.set(name, { name, dtype: "float32", shape: [width], category });
  add("x", "input");
  const nodes = rows.map(([op, ...inputs], i): Node => {
    add(`t${i}`, "activation");
    return { name: `n${i}`, domain: "", op, inputs, outputs: [`t${i}`], attributes: {}, phase: "forward" };
  });
  return { name: "rows", nodes, tensors, inputs: ["x"], outputs: [`t${rows.length - 1}`], state: [] };
}

const found = (graph: Graph) => groupsOf(graph, sourcesOf(graph), passesOf(graph));

/** Members of the groups of more than one. */
const membersOf = (graph: Graph): (readonly number[])[] =>
  [...new Set(found(graph).values())].map((g) => g.members).filter(({ length }) => length > 1);

test("groupsOf(graph) makes no group that a path leaves and comes back to", () => {
  // t1 is no element-wise result: t0 and t2 with it would be made at once
  const graph = graphOf([
    ["Relu", "x"],
    ["CumSum", "t0"],
    ["Add", "t0", "t1"],
    ["Tanh", "t2"],
  ]);
  assert.deepEqual(membersOf(graph), [[2, 3]]);
});

/** Whether a walk over units, groups and single nodes, finds an order: each after what it reads. */
function isOrdered(graph: Graph): boolean {
  const groups = found(graph);
  const sources = sourcesOf(graph);
  const unitOf = (rank: number): object | number => groups.get(rank) ?? rank;
  const state = new Map<object | number, "open" | "done">();
  const visit = (rank: number): boolean => {
    const unit = unitOf(rank);
    if (state.has(unit)) return state.get(unit) === "done";
    state.set(unit, "open");
    const members = groups.get(rank)?.members ?? [rank];
    const ok = members.every((m) => (sources[m] ?? []).every((s) => unitOf(s) === unit || visit(s)));
    state.set(unit, "done");
    return ok;
  };
  return graph.nodes.every((_, rank) => visit(rank));
}

test("groupsOf(random graph) leaves an order in which all is made before it is read", () => {
  const random = randomFrom(3);
  let grouped = 0;
  for (let round = 0; round < 200; round++) {
    const rows = Array.from({ length: 30 }, (_, i): [string, ...string[]] => {
      const any = (): string => `t${Math.max(0, i - 1 - Math.floor(random() ** 2 * 12))}`;
      if (i === 0) return ["Relu", "x"];
      return random() < 0.4 ? ["CumSum", any()] : ["Add", any(), any()];
    });
    // large tensors are shared by their readers too
    const graph = graphOf(rows, round % 2 ? 4 : 2048);
    grouped += membersOf(graph).flat().length;
    assert.ok(isOrdered(graph), JSON.stringify(rows));
  }
  assert.ok(grouped > 1000, `${grouped}`);
});

test("groupsOf(50 000 element-wise nodes in a row) is one group, in time that grows as they do", () => {
  const rows = Array.from({ length: 50_000 }, (_, i): [string, string] => ["Relu", i ? `t${i - 1}` : "x"]);
  const began = process.cpuUsage();
  assert.deepEqual(
    membersOf(graphOf(rows)).map(({ length }) => length),
    [50_000],
  );
  assert.ok(process.cpuUsage(began).user < 20e6);
});

test("groupsOf(readers of one large tensor) looks back at no more readers than it must", () => {
  const rows = Array.from({ length: 20_000 }, (_, i): [string, ...string[]] =>
    i % 2 ? ["CumSum", `t${i - 1}`] : ["Add", i ? `t${i - 1}` : "x", "x"],
  );
  const began = process.cpuUsage();
  assert.deepEqual(membersOf(graphOf(rows, 2048)), []);
  assert.ok(process.cpuUsage(began).user < 20e6);
});

test("groupsOf(sums over channels) takes in what they read, and nothing that reads them", () => {
  const graph = parseGraph(`graph(float32[2,3,4] d, float32[2,3,4] x, float32[3] v) => (y) {
  e = Neg(d)
  slope, tilt, level, ds, db = mutwo.BatchNormalizationGradientSums(e, x, v, v, v)
  f = mutwo.BatchNormalizationGradientApply(e, x, v, slope, tilt, level)
  y = Exp(f)
}`);
  assert.deepEqual(membersOf(graph), [
    [0, 1],
    [2, 3],
  ]);
  // rows and channels are reduced in kernels of different kinds
  const rows = parseGraph(`graph(float32[2,3,4] d, float32[2,3,4] x, float32[3] v) => (m, s) {
  m = ReduceSum(d, int64[1]{-1})
  s = mutwo.BatchNormalizationGradientSums(d, x, v, v, v)
}`);
  assert.deepEqual(membersOf(rows), []);
});
