import assert from "node:assert/strict";
import { test } from "node:test";
import { Builder } from "../../src/build/build.js";
import { parseGraph } from "../../src/build/text.js";
import { FlatParts } from "../../src/export/flat-parts.js";
import type { Node } from "../../src/graph/graph.js";
import { bytesOf, valuesOf } from "../../src/graph/values.js";
import { trainingStep } from "../../src/step/training.js";

const forward = parseGraph(`graph(float32[2,3] x, parameter float32[3,2] w, parameter float32[2] b) => (y) {
  h = MatMul(x, w)
  y = Add(h, b)
}`);

const graph = trainingStep(forward, { loss: "mse", optimizer: "sgd:momentum=0.9" });

const open = (of = graph) => {
  const b = new Builder(of, false);
  return { b, flat: new FlatParts(of, b) };
};

const shown = (flat: FlatParts, name: string) =>
  flat.of(name)?.map(({ tensor, parameter, offset, shape }) => `${tensor} (${parameter}) at ${offset} [${shape}]`);

test("FlatParts.of(buffer) is the parameters in it by their place, and of an optimizer state a part for each", () => {
  const { flat } = open();
  assert.deepEqual(shown(flat, "parameters"), ["w (w) at 0 [3,2]", "b (b) at 6 [2]"]);
  assert.deepEqual(shown(flat, "parameters.velocity"), ["w.velocity (w) at 0 [3,2]", "b.velocity (b) at 6 [2]"]);
  assert.equal(flat.of("x"), undefined);
});

test("FlatParts.of(gradients) is what nodes have written so far, in order of place", () => {
  const { flat } = open();
  const make = (name: string): void => flat.noteWritten(graph.nodes.find((n) => n.outputs.includes(name)) as Node);
  assert.equal(flat.of("gradients"), undefined);
  make("b.grad");
  assert.deepEqual(shown(flat, "gradients"), ["b.grad (b) at 6 [2]"]);
  make("w.grad");
  assert.deepEqual(shown(flat, "gradients"), ["w.grad (w) at 0 [3,2]", "b.grad (b) at 6 [2]"]);
});

test("FlatParts.cutLike(name, parts) cuts a resident of that size with its values, and nothing else", () => {
  const tensors = new Map(graph.tensors);
  const flatType = { dtype: "float32", category: "constant" } as const;
  const data = bytesOf("float32", [0, 1, 2, 3, 4, 5, 6, 7]);
  tensors.set("decay", { ...flatType, name: "decay", shape: [8], data });
  tensors.set("short", { ...flatType, name: "short", shape: [7], data: data.subarray(4) });
  const { b, flat } = open({ ...graph, tensors });
  const like = flat.of("parameters") ?? [];
  assert.equal(flat.cutLike("decay", like), true);
  assert.deepEqual(shown(flat, "decay"), ["decay/w (w) at 0 [3,2]", "decay/b (b) at 6 [2]"]);
  assert.deepEqual(valuesOf("float32", b.type("decay/b").data as Uint8Array), [6, 7]);
  assert.equal(flat.cutLike("short", like), false);
  assert.equal(flat.cutLike("decay", like.slice(1)), false);
});

test("FlatParts.join(name, parts) and slices(name, parts) are each other's inverse; what was joined is joined once", () => {
  const { b, flat } = open();
  const parts = flat.of("parameters") ?? [];
  const joined = flat.join("parameters", parts);
  assert.equal(flat.join("parameters", parts), joined);
  assert.deepEqual(b.type(joined).shape, [8]);
  assert.deepEqual(
    flat.slices(joined, parts).map(({ tensor }) => b.type(tensor).shape),
    [[3, 2], [2]],
  );
  assert.deepEqual(
    b.nodes.map(({ op }) => op),
    ["Reshape", "Concat", "Slice", "Reshape", "Slice", "Reshape"],
  );
});
