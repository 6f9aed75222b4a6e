import assert from "node:assert/strict";
import { test } from "node:test";
import { flatBufferNames, flatParts } from "../../src/graph/flat-parts.js";
import { type Graph, type Tensor, tensorOf } from "../../src/graph/graph.js";
import { readModel } from "../../src/model/read.js";
import { lowerFor } from "../../src/step/lower.js";
import { together } from "../../src/step/together.js";
import { trainingStep } from "../../src/step/training.js";
import { at } from "../at.js";

const tensor = (name: string, count: number, more: Partial<Tensor> = {}): [string, Tensor] => [
  name,
  { name, dtype: "float32", shape: [count], category: "parameter", ...more },
];

const within = (buffer: string, offsetBytes: number) => ({ within: { tensor: buffer, offsetBytes } });

const graph: Graph = {
  name: "g",
  nodes: [],
  inputs: [],
  outputs: [],
  state: [],
  tensors: new Map([
    tensor("parameters", 10),
    tensor("b", 4, within("parameters", 24)),
    tensor("a", 6, within("parameters", 0)),
    tensor("parameters.m", 10, { category: "optimizer state" }),
    tensor("parameters.m@slice1", 8, { category: "temporary", ...within("parameters.m", 0) }),
    tensor("parameters.m@slice2", 2, { category: "temporary", ...within("parameters.m", 32) }),
    tensor("gradients", 10, { category: "gradient" }),
    tensor("half", 10, { category: "temporary", dtype: "float16" }),
    tensor("h", 10, { category: "activation" }),
    tensor("power", 1, { category: "optimizer state", shape: [] }),
  ]),
};

const parts = (name: string) =>
  flatParts(graph, tensorOf(graph, name))?.map(({ parameter, begin, end }) => `${parameter} ${begin}-${end}`);

test("flatParts(graph, tensor) are the parameters of flat buffers and of slices of them, in order", () => {
  assert.deepEqual(flatBufferNames(graph, "update/Sub"), ["parameters"]);
  for (const name of ["parameters", "parameters.m", "gradients", "half"])
    assert.deepEqual(parts(name), ["a 0-6", "b 6-10"], name);
  assert.deepEqual(parts("parameters.m@slice1"), ["a 0-6", "b 6-8"]);
  assert.deepEqual(parts("parameters.m@slice2"), ["b 0-2"]);
  assert.deepEqual(parts("b"), ["b 0-4"]);
  for (const name of ["h", "power"]) assert.equal(parts(name), undefined, name);
});

test("flatParts(graph, tensor) of a joint graph are those of the tensor's own member", () => {
  const member = (name: string) => ({ name, graph: { ...graph, loss: "power" } });
  const joint = together({ hasKernel: () => true }, [member("m0"), member("m1")]);
  assert.deepEqual(flatBufferNames(joint, "m1/update/Sub"), ["m1/parameters"]);
  assert.deepEqual(flatBufferNames(joint, "loss/Add"), []);
  for (const name of ["m1/gradients", "m1/parameters.m@slice1"])
    assert.deepEqual(
      flatParts(joint, tensorOf(joint, name))?.map(({ parameter }) => parameter),
      ["m1/a", "m1/b"],
    );
});

test("flatParts of a real step's buffers hold every trained parameter once, and all of the buffer", () => {
  const { graph: model } = readModel(at("fixtures/gpt2_tiny.dynamo.onnx"));
  const step = lowerFor({ hasKernel: () => true }, trainingStep(model, { loss: "ce", optimizer: "adamw" }));
  for (const name of ["parameters", "parameters.m", "parameters.v"]) {
    const found = flatParts(step, tensorOf(step, name)) ?? [];
    assert.equal(new Set(found.map(({ parameter }) => parameter)).size, found.length);
    assert.equal(found[0]?.begin, 0);
    found.forEach(({ end }, i) => {
      assert.equal(end, found[i + 1]?.begin ?? tensorOf(step, name).shape[0]);
    });
  }
});
