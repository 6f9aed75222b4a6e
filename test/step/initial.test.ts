import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { randomFrom } from "../../src/graph/random.js";
import { valuesOf } from "../../src/graph/values.js";
import { readModel } from "../../src/model/read.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { initialValues, placeLimits, seededGraph } from "../../src/step/initial.js";
import { trainingStep } from "../../src/step/training.js";
import { at } from "../at.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

test("initialValues(step) gives the same bytes for the same seed, labels below the class count", () => {
  const file = at("fixtures/resnet_bottleneck_dynamic.onnx");
  const model = readModel(file, { dims: { batch: 4 }, runtime }).graph;
  const step = trainingStep(model, { loss: "ce", optimizer: "sgd" });
  const [one, same, other] = [0, 0, 1].map((seed) => initialValues(step, step, seed));
  assert.deepEqual(one, same);
  const input = step.inputs[0] as string;
  assert.notDeepEqual(one?.get(input), other?.get(input));
  const labels = valuesOf("int64", one?.get("target") as Uint8Array);
  assert.equal(labels.length, 4);
  const classes = 10;
  for (const label of labels) assert.ok(label >= 0 && label < classes, `${label}`);
});

test("initialValues(step, forward): scales 1, biases 0, weights by fan-in, masks 1, indices that exist, data as they are", () => {
  const graph =
    parseGraph(`graph g(float32[256,12] x, int64[4000] picks, int64[8] mask, bool[3] flags, int64[50] labels range [3,6],
    parameter float32[12,400] w, parameter float32[12] scale, parameter float32[12] bias, parameter float32[2] given = {5,6},
    buffer float32[2,2] mean, optimizer state float32[12] m) => (y) {
  n = LayerNormalization(x, scale, bias)
  y = MatMul(n, w)
  g = Gather(x, picks)
  f = Cast<to=1>(mask)
}`);
  const values = initialValues(graph, graph, 3);
  const of = (name: string): number[] =>
    valuesOf(graph.tensors.get(name)?.dtype ?? "float32", values.get(name) as Uint8Array);
  const all = (name: string): number[] => [...new Set(of(name))];
  assert.deepEqual(
    [all("scale"), all("bias"), all("mean"), all("m"), all("mask"), all("flags")],
    [[1], [0], [0], [0], [1], [1]],
  );
  assert.deepEqual(of("given"), [5, 6]);
  const variance = (name: string): number => of(name).reduce((sum, v) => sum + v * v, 0) / of(name).length;
  assert.ok(Math.abs(12 * variance("w") - 1) < 0.05, `${variance("w")}`);
  assert.ok(Math.abs(variance("x") - 1) < 0.05, `${variance("x")}`);
  assert.deepEqual(all("labels").sort(), [3, 4, 5]);
  assert.deepEqual([Math.min(...of("picks")), Math.max(...of("picks"))], [0, 255]);
  assert.deepEqual(initialValues(graph, graph, 3), values);
});

test("seededGraph(graph, seed) gives random nodes without a seed one of their own", () => {
  const graph = parseGraph(`graph g(float32[4] x) => (c) {
  a = Dropout(x)
  b = Dropout(a)
  r = RandomNormalLike(b)
  c = Dropout<seed=5>(r)
}`);
  const seeds = (seed: number) => seededGraph(graph, seed).nodes.map(({ attributes }) => attributes.seed);
  const [a, b, r, c] = seeds(0);
  assert.deepEqual([a?.type, r?.type, c], ["int", "float", { type: "int", value: 5 }]);
  assert.notEqual(a?.value, b?.value);
  assert.deepEqual(seeds(0), seeds(0));
  assert.notDeepEqual(seeds(0), seeds(1));
});

test("randomFrom(seed) is uniform in [0, 1), the same for the same seed", () => {
  const draw = (seed: number): number[] => Array.from({ length: 1000 }, randomFrom(seed));
  assert.deepEqual(draw(1), draw(1));
  assert.notDeepEqual(draw(1), draw(2));
  assert.ok(draw(1).every((value) => value >= 0 && value < 1));
  assert.ok(Math.abs(draw(1).reduce((sum, value) => sum + value, 0) / 1000 - 0.5) < 0.03);
});

test("placeLimits(graph) tells how many places the tensors have that an input indexes, at least", () => {
  const graph =
    parseGraph(`graph(int64[3] a, int64[2,2] b, float32[4] x, parameter float32[7,2] small, parameter float32[9,5] large) => (p, q, r, s) {
  p = Gather(large, a)
  q = Gather(small, a)
  flat = Reshape(b, int64[1]{4})
  r = Gather<axis=1>(large, flat)
  s = Relu(x)
}`);
  assert.deepEqual(
    [...placeLimits(graph)],
    [
      ["a", 7],
      ["b", 5],
    ],
  );
});
