import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { type Node, tensorOf } from "../../src/graph/graph.js";
import { layout } from "../../src/memory/layout.js";
import { type Storages, storages } from "../../src/memory/storages.js";
import { opOf } from "../../src/ops/index.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { overlaps } from "../overlaps.js";
import { resnetProblem } from "../problem.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

test("storages(graph): a view costs nothing, an update writes into its state", () => {
  const { graph } = resnetProblem(runtime);
  const { of } = storages(graph);
  for (const { before, after: next } of graph.state) assert.equal(of.get(next)?.storage, of.get(before)?.storage);
  const views = graph.nodes.filter((node) => opOf(node).view);
  assert.ok(views.length > 0);
  for (const node of views)
    assert.equal(of.get(node.outputs[0] as string)?.storage, of.get(node.inputs[0] as string)?.storage);
});

/** The tensors of each storage that is not resident, in the order in which they hold it. */
const tenants = ({ all }: Storages): string[] =>
  all.filter(({ resident }) => !resident).map((storage) => storage.tenants.map(({ tensor }) => tensor).join(" "));

test("storages(graph) writes an output over an input that nothing reads later, not even through a view", () => {
  const chain = storages(
    parseGraph(`graph g(float32[4,8] x) => (z) {
  a = Exp(x)
  b = Sin(a)
  v = Reshape(b, int64[1]{-1})
  c = Cos(b)
  d = Exp(v)
  z = Concat<axis=0>(d, d)
}`),
  );
  // c is not written over b: v, which shows b, is read after it; d is written over v's storage
  assert.deepEqual(tenants(chain), ["a b d", "c", "z"]);
  const b = chain.of.get("b")?.storage;
  assert.deepEqual([b?.start, b?.end, chain.of.get("v")?.storage === b], [0, 5, true]);
});

test("storages(graph) writes nothing over a tensor of which a node reads a part", () => {
  const all = storages(
    parseGraph(`graph g(float32[3,8] x) => (z) {
  a = Exp(x)
  b = mutwo.Rows<start=1, count=1>(a)
  c = Add(b, x)
  d = Exp(c)
  e = mutwo.Rows<start=0, count=3>(d)
  f = Exp(e)
  z = Mul(f, f)
}`),
  );
  // c has the size of a, but its rows are all made of the second one
  assert.deepEqual(tenants(all), ["a", "c d f z"]);
});

test("storages(graph) keeps outputs of the graph, and what their views show, to the end", () => {
  const kept = storages(
    parseGraph(`graph g(float32[4,8] x) => (v, z) {
  a = Exp(x)
  v = Reshape(a, int64[1]{-1})
  b = Sin(a)
  z = Cos(b)
}`),
  );
  assert.deepEqual(tenants(kept), ["a", "b z"]);
  assert.equal(kept.of.get("a")?.storage.end, 3);
});

test("storages(graph) gives parts of flat buffers their place, and reads of the buffer are reads of its parts", () => {
  const { all, of } = storages(
    parseGraph(`graph g(float32[2] x, parameter float32[4] p, parameter float32[2] w within p+8, gradient float32[4] g) => (y) {
backward:
  gradient a within g+0 = Exp(x)
  gradient b within g+8 = Mul(x, w)
update:
  s = Mul(g, p)
  y = ReduceSum<keepdims=0>(s)
}`),
  );
  assert.deepEqual([of.get("w")?.storage.name, of.get("w")?.offsetBytes], ["p", 8]);
  assert.deepEqual(
    all.flatMap(({ name, within, start, end }) => (within ? [[name, within.offsetBytes, start, end]] : [])),
    [
      ["a", 0, 0, 2],
      ["b", 8, 1, 2],
    ],
  );
  assert.equal(of.has("g"), false);
});

test("storages(graph) refuses a state that is renewed before all have read it", () => {
  const late = (reader: string) => () =>
    storages(
      parseGraph(`graph g(parameter float32[4] w, float32[4] x) => (y) {
update:
  next = Sub(w, x)
  y = ${reader}
  state w -> next
}`),
    );
  assert.throws(late("Exp(w)"), /^Error: state overwritten while still read: w \(node next\)$/);
  assert.doesNotThrow(late("Exp(x)"));
});

/** An activation that the step before has made is read, and made for the next one after the parameter is renewed. */
const carrying = () =>
  parseGraph(`graph g(float32[8] x, parameter float32[8] w, activation float32[8] a.before, temporary float32[8] w.ahead within w+0) => (y) {
backward:
  d = Exp(a.before)
  c = Concat<axis=0>(d, d)
update:
  w.next = Sub(w, d)
forward:
  y = Concat<axis=0>(w.ahead, c)
  a = Mul(x, w.ahead)
state w -> w.next
state a.before -> a
}`);

/** The graph with that slice marked as one of the renewed state. */
const renewed = (graph: ReturnType<typeof carrying>) => {
  const tensors = new Map(graph.tensors);
  tensors.set("w.ahead", { ...tensorOf(graph, "w.ahead"), renewed: true });
  return { ...graph, tensors };
};

test("storages(graph): what is carried from step to step is there until it is read, and from where it is made", () => {
  const graph = renewed(carrying());
  const { of } = storages(graph);
  const [before, after] = ["a.before", "a"].map((name) => of.get(name)?.storage);
  assert.deepEqual([before?.start, before?.end, before?.resident], [0, 0, false]);
  assert.deepEqual([after?.start, after?.end, after?.resident], [4, 4, false]);
  assert.equal(of.get("w.ahead")?.storage, of.get("w")?.storage);
  // beside x, w, c and the larger y nothing else lies alone
  const { arenaBytes, offsets } = layout(graph);
  assert.equal(offsets.get("a"), offsets.get("a.before"));
  assert.equal(arenaBytes, 64 * 5);
  assert.deepEqual(overlaps(graph), []);
});

test("storages(graph): a slice of the renewed state is read after the renewal, another one before", () => {
  assert.throws(() => storages(carrying()), /state overwritten while still read: w/);
  const graph = renewed(carrying());
  const [d, c, update, y, a] = graph.nodes as [Node, Node, Node, Node, Node];
  const early = { ...graph, nodes: [d, c, y, update, a] };
  assert.throws(() => storages(early), /state read before it is renewed: w.ahead/);
});
