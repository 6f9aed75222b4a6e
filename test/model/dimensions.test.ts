import assert from "node:assert/strict";
import { test } from "node:test";
import { boundShape, checkDims, checkOutput } from "../../src/model/dimensions.js";
import type { Model, ModelValue } from "../../src/model/model.js";

const input = (...dims: ModelValue["dims"]): ModelValue => ({ name: "x", dtype: "float32", dims });

const modelOf = (...inputs: ModelValue[]): Model => ({
  irVersion: 8,
  opset: 18,
  opsets: { "": 18 },
  producer: "",
  graphName: "g",
  inputs,
  outputs: [],
  initializers: new Map(),
  nodes: [],
  valueInfo: [],
  metadata: {},
  graphMetadata: {},
});

test("boundShape(input, dims) binds names, and unknown dimensions by the input's name and axis", () => {
  assert.deepEqual(boundShape(input("batch", 3, null), { batch: 8, "x.2": 5 }), [8, 3, 5]);
  assert.throws(() => boundShape(input("batch"), {}), { message: "unbound dimension: batch (pass --dim batch=N)" });
  assert.throws(() => boundShape(input(4, null), {}), { message: "unbound dimension: x.1 (pass --dim x.1=N)" });
});

test("checkDims(model, dims) refuses names that the model does not have, and sizes that are none", () => {
  checkDims(modelOf(input("batch", null)), { batch: 1, "x.1": 2 });
  assert.throws(() => checkDims(modelOf(input("batch", null)), { bach: 1 }), {
    message: "unknown dimension: bach (the model has batch, x.1)",
  });
  assert.throws(() => checkDims(modelOf(input(2)), { batch: 1 }), {
    message: "unknown dimension: batch (all of the model's dimensions are fixed)",
  });
  for (const size of [0, 1.5, Number.NaN])
    assert.throws(() => checkDims(modelOf(input("batch")), { batch: size }), {
      message: `dimension is not a positive integer: batch=${size}`,
    });
});

test("checkOutput(output, shape, dims) compares what the file declares, as far as it does", () => {
  checkOutput(input("batch", null), [8, 3], { batch: 8 });
  checkOutput(input(), [8, 3], {});
  checkOutput(input("other", 3), [8, 3], {});
  assert.throws(() => checkOutput(input("batch", 4), [8, 3], { batch: 8 }), {
    message: "contradicting dimension: output x is [8,3], the model says [batch,4]",
  });
  assert.throws(() => checkOutput(input(8), [8, 3], {}), /^Error: contradicting dimension: /);
});
