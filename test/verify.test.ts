import assert from "node:assert/strict";
import { test } from "node:test";
import { verifyModel } from "../src/verify.js";

const references = [
  ["mlp.ts.onnx", "mlp", "mse", 20],
  ["mlp.dynamo.onnx", "mlp", "mse", 20],
  ["resnet_basic.ts.onnx", "resnet_basic", "ce", 38],
  ["resnet_bottleneck.ts.onnx", "resnet_bottleneck", "ce", 62],
] as const;

for (const [file, reference, loss, gradients] of references)
  test(`verifyModel(${file}) agrees with PyTorch: loss, every gradient, running statistics, five steps of SGD and Adam`, async () => {
    const result = await verifyModel(`test/fixtures/${file}`, {
      reference: `test/fixtures/${reference}.safetensors`,
      loss,
    });
    assert.equal(result.gradients.length, gradients);
    assert.deepEqual(result.missing, []);
    const worst = result.gradients.reduce((most, g) => Math.max(most, g.relativeError), 0);
    assert.ok(result.ok, JSON.stringify({ loss: result.loss, worst, curves: result.curves }));
    assert.deepEqual(Object.keys(result.curves).sort(), ["adam", "sgd"]);
  });

test("verifyModel with the wrong reference says which tensor does not fit", async () => {
  await assert.rejects(
    verifyModel("test/fixtures/mlp.ts.onnx", { reference: "test/fixtures/resnet_basic.safetensors", loss: "mse" }),
    /shape mismatch: reference input is float32/,
  );
});
