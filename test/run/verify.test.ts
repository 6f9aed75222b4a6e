import assert from "node:assert/strict";
import { after, test } from "node:test";
import { readModel } from "../../src/model/read.js";
import { verifyModel } from "../../src/run/verify.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { at } from "../at.js";

const runtime = openCpu();

after(() => runtime.close());

const fixture = (name: string): string => at("fixtures", name);

/** Model, loss, number of reference gradients, and what there is to learn from the model. */
const references: readonly [file: string, loss: string, gradients: number, what: string][] = [
  ["mlp.ts.onnx", "mse", 20, "linear layers"],
  ["mlp.dynamo.onnx", "mse", 20, "the newer exporter"],
  ["resnet_basic.ts.onnx", "ce", 38, "basic blocks"],
  ["resnet_bottleneck.ts.onnx", "ce", 62, "bottleneck blocks"],
  ["bert_tiny.ts.onnx", "ce", 41, "an encoder"],
  ["bert_tiny.ts.onnx", "ce:chunks=3", 41, "an encoder, its loss in slices of rows"],
  ["gpt2_tiny.dynamo.onnx", "ce", 28, "a decoder with tied embeddings"],
  ["gpt2_tiny.dynamo.onnx", "ce:chunks=5", 28, "a decoder, its loss in slices of rows"],
  ["vit_tiny.ts.onnx", "ce", 40, "patches"],
  ["lstm.ts.onnx", "ce", 18, "two recurrent layers of both directions"],
  ["swin.ts.onnx", "ce", 48, "shifted windows"],
  ["unet_bn.dynamo.onnx", "ce:axis=1", 36, "batch norm that was traced in training and written in inference mode"],
  ["siamese.ts.onnx", "mse", 6, "a layer used twice, whose running statistics are renewed twice"],
  ["clip.dynamo.onnx", "ce", 21, "a scalar parameter"],
  ["gcn.dynamo.onnx", "ce", 6, "a float buffer that is not trained"],
];

for (const [file, loss, gradients, what] of references)
  test(`verifyModel(${file}) agrees with PyTorch over five steps of SGD and Adam: ${what}`, async () => {
    const reference = fixture(`${file.split(".")[0]}.safetensors`);
    const result = await verifyModel(fixture(file), { reference, loss });
    assert.deepEqual(result.missing, []);
    assert.equal(result.gradients.length, gradients);
    const worst = result.gradients.reduce((most, g) => Math.max(most, g.relativeError), 0);
    assert.ok(result.ok, JSON.stringify({ loss: result.loss, worst, curves: result.curves }));
    assert.equal(result.float32, undefined);
    assert.deepEqual(Object.keys(result.curves).sort(), ["adam", "sgd"]);
  });

test("verifyModel(mobilenet_v2) decides in float64: rounding alone takes float32's curves elsewhere", async () => {
  const result = await verifyModel(fixture("mobilenet_v2.ts.onnx"), {
    reference: fixture("mobilenet_v2.safetensors"),
    loss: "ce",
  });
  assert.ok(result.ok && result.float32);
  assert.ok(result.float32.curve > 1e-3, `${result.float32.curve}`);
  const worst = result.gradients.reduce((most, g) => Math.max(most, g.relativeError), 0);
  assert.ok(worst < 1e-6, `${worst}`);
});

test("verifyModel with the wrong reference says which tensor does not fit", async () => {
  await assert.rejects(
    verifyModel(fixture("mlp.ts.onnx"), { reference: fixture("resnet_basic.safetensors"), loss: "mse" }),
    /shape mismatch: reference input is float32/,
  );
});

test("readModel says what an optimising exporter has done to the parameters", () => {
  const { notes } = readModel(fixture("mlp_zero.opt.onnx"), { runtime });
  assert.match(
    notes.join("\n"),
    /\d+ parameters of the PyTorch model are not in the file under their names \(.*optimize=False/,
  );
  assert.match(notes.join("\n"), /2 parameters look merged: .*norms\.0\.weight.*norms\.0\.bias/);
});

test("readModel sets batch norm's mode as asked, whatever the file says", () => {
  const modes = (batchNorm?: "training" | "inference"): string[] => {
    const { graph } = readModel(fixture("unet_bn.dynamo.onnx"), { runtime, ...(batchNorm ? { batchNorm } : {}) });
    const nodes = graph.nodes.filter((node) => node.op === "BatchNormalization");
    return [...new Set(nodes.map((node) => node.domain || "standard"))];
  };
  assert.deepEqual([modes(), modes("training"), modes("inference")], [["mutwo"], ["mutwo"], ["standard"]]);
});
