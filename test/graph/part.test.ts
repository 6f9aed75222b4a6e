import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph, printGraph } from "../../src/build/text.js";
import { neighbours, partOf } from "../../src/graph/part.js";

const step = parseGraph(`graph step(
  float32[4,3] x,
  parameter float32[6] flat,
  parameter float32[3,2] w within flat+0,
  gradient float32[6] dflat,
  constant float32[] lr = {0.1}
) => (loss) {
  h = MatMul(x, w)
  y = Relu(h)
loss:
  loss = ReduceMean<keepdims=0>(y)
backward:
  xt = Transpose<perm=[1,0]>(x)
  dh = Mul(y, h)
  gradient dw within dflat+0 = MatMul(xt, dh)
update:
  change = Mul(dflat, lr)
  parameter flat.next = Sub(flat, change)
  state flat -> flat.next
  loss loss
}
`);

const namesAround = (name: string, distance: number): string[] => {
  const node = step.nodes.find((other) => other.name === name);
  assert.ok(node);
  const near = neighbours(step, node, distance);
  return step.nodes.filter((node) => near.has(node)).map((node) => node.name);
};

test("partOf(graph, backward) has what it reads as residents and what others read as outputs", () => {
  const part = partOf(step, (node) => node.phase === "backward");
  assert.equal(
    printGraph(part),
    `graph step(
  float32[4,3] x,
  gradient float32[6] dflat,
  activation float32[4,2] h,
  activation float32[4,2] y
) => () {
backward:
  xt = Transpose<perm=[1,0]>(x)
  dh = Mul(y, h)
  gradient dw within dflat+0 = MatMul(xt, dh)
}
`,
  );
  assert.deepEqual(partOf(step, (node) => node.phase === "forward").outputs, ["h", "y"]);
});

test("partOf(graph, update) keeps the state and its storage; partOf(graph, all) is the graph", () => {
  const part = partOf(step, (node) => node.phase === "update");
  assert.deepEqual(part.state, step.state);
  assert.deepEqual([...part.tensors.keys()].sort(), ["change", "dflat", "flat", "flat.next", "lr"]);
  assert.deepEqual({ ...partOf(step, () => true), outputs: [] }, { ...step, outputs: [] });
});

test("neighbours(graph, node, distance) goes to producers and consumers, not to siblings", () => {
  assert.deepEqual(namesAround("y", 0), ["y"]);
  assert.deepEqual(namesAround("y", 1), ["h", "y", "loss", "dh"]);
  assert.deepEqual(namesAround("xt", 1), ["xt", "dw"]);
});

test("neighbours(graph, node, distance) takes who reads a flat buffer for a reader of its parts", () => {
  assert.deepEqual(namesAround("dw", 1), ["xt", "dh", "dw", "change"]);
  assert.deepEqual(namesAround("change", 1), ["dw", "change", "flat.next"]);
});
