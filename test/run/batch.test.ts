import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { batchDim, batchOf, commonBatch } from "../../src/run/batch.js";

test("batchOf(model) is the only dimension, or the only one that is called like a batch", () => {
  assert.equal(batchOf({ dims: { time: 8 } }), "time");
  assert.equal(batchOf({ dims: { time: 8, Batch_Size: 2 } }), "Batch_Size");
  assert.equal(batchOf({ dims: { batch: 8, n: 2 } }), undefined);
  assert.equal(batchOf({ dims: { time: 8, width: 2 } }), undefined);
  assert.equal(batchOf({ dims: {} }), undefined);
});

test("batchDim(model, named) takes the named one, and says in one line why there is none", () => {
  const model = { file: "m.onnx", dims: { time: 8, width: 2 } };
  assert.equal(batchDim(model, "width"), "width");
  assert.throws(() => batchDim(model, "depth"), /^Error: no such dimension: depth \(m\.onnx has time, width\)$/);
  assert.throws(() => batchDim(model, undefined), /^Error: which dimension is the batch\? time, width/);
  assert.throws(() => batchDim({ ...model, dims: {} }, undefined), /^Error: no dimension to fit: m\.onnx/);
});

test("commonBatch(graph) is the size that all inputs have first", () => {
  const step = (...inputs: string[]) => parseGraph(`graph(${inputs.join(", ")}) => (y) { y = Add(a, b) }`);
  assert.equal(commonBatch(step("float32[4,3] a", "float32[4,3] b")), 4);
  assert.equal(commonBatch(step("float32[4,3] a", "float32[1,3] b")), undefined);
});
