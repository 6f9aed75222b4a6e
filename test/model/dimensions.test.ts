import assert from "node:assert/strict";
import { test } from "node:test";
import { boundShape, checkDims, outputNote, symbolsOf } from "../../src/model/dimensions.js";
import type { Model, ModelValue } from "../../src/model/model.js";
import { modelOf as model } from "./model-of.js";

const input = (...dims: ModelValue["dims"]): ModelValue => ({ name: "x", dtype: "float32", dims });

const modelOf = (...inputs: ModelValue[]): Model => model([], { inputs, outputs: [] });

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

test("outputNote(output, shape, dims) compares what the file declares, as far as it does", () => {
  assert.equal(outputNote(input("batch", null), [8, 3], { batch: 8 }), undefined);
  assert.equal(outputNote(input(), [8, 3], {}), undefined);
  assert.equal(outputNote(input("other", 3), [8, 3], {}), undefined);
  assert.equal(
    outputNote(input("batch", 4), [8, 3], { batch: 8 }),
    "output x is [8,3] where the file declares [batch,4]: what the nodes make is used",
  );
  assert.match(outputNote(input(8), [8, 3], {}) ?? "", /is \[8,3\] where the file declares \[8\]/);
});

test("boundShape(input, dims) computes what follows from other dimensions, and asks for these alone", () => {
  const flat = input("batch*seq", "past + 1");
  assert.deepEqual(boundShape(flat, { batch: 2, seq: 3, past: 4 }), [6, 5]);
  assert.throws(() => boundShape(flat, { batch: 2, past: 4 }), {
    message: "unbound dimension: seq (pass --dim seq=N, of which x has batch*seq)",
  });
  assert.throws(() => boundShape(input("batch - 3"), { batch: 2 }), {
    message: "dimension is not a whole number: batch - 3 is -1",
  });
  const model = { inputs: [flat, { ...input("batch"), name: "ids" }] };
  assert.deepEqual(
    symbolsOf(model),
    new Map([
      ["batch", 0],
      ["seq", 0],
      ["past", 1],
    ]),
  );
  assert.throws(() => checkDims(modelOf(flat), { "batch*seq": 6 }), {
    message: "unknown dimension: batch*seq (the model has batch, seq, past)",
  });
});

test("outputNote(output, shape, dims) checks dimensions that follow from others", () => {
  assert.equal(outputNote(input("batch*seq"), [6], { batch: 2, seq: 3 }), undefined);
  assert.equal(outputNote(input("batch*seq"), [7], { batch: 2 }), undefined);
  assert.match(outputNote(input("batch*seq"), [7], { batch: 2, seq: 3 }) ?? "", /is \[7\] where/);
  assert.match(outputNote(input("batch/4"), [1], { batch: 2 }, { inputs: [input("batch")] }) ?? "", /is \[1\] where/);
});
