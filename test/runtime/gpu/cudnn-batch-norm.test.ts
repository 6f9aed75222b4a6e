import assert from "node:assert/strict";
import { test } from "node:test";
import { batchNormOf } from "../../../src/runtime/gpu/cudnn-batch-norm.js";
import { fakeGpu } from "./fake-gpu.js";

const opened = (deterministic: boolean) => {
  const { gpu, taken } = fakeGpu();
  return { norm: batchNormOf(gpu.cudnn, "float32", [2, 3, 4, 4], deterministic), taken };
};

test("batchNormOf(deterministic) takes cuDNN's mode 1, else the persistent one, 2", () => {
  assert.deepEqual(opened(true).taken(), ["cudnnDeriveBNTensorDescriptor 8 7 1"]);
  assert.deepEqual(opened(false).taken(), ["cudnnDeriveBNTensorDescriptor 8 7 2"]);
});

// 7 and 8 are the descriptors of x and of the vectors; the factors are left out
test("forward and backward hand over each address where cuDNN takes it, and no running statistics", () => {
  const { norm, taken } = opened(true);
  taken();
  norm.forward({ x: 10n, scale: 11n, bias: 12n, y: 13n, mean: 14n, inverse: 15n, epsilon: 0.5 });
  norm.backward({
    x: 20n,
    dy: 21n,
    scale: 22n,
    mean: 23n,
    inverse: 24n,
    dx: 25n,
    dScale: 26n,
    dBias: 27n,
    epsilon: 0.5,
  });
  assert.deepEqual(taken(), [
    "cudnnBatchNormalizationForwardTraining 1 7 10 7 13 8 11 12 1 0 0 0.5 14 15",
    "cudnnBatchNormalizationBackward 1 7 20 7 21 7 25 8 22 26 27 0.5 23 24",
  ]);
});
