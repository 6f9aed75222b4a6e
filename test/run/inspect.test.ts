import assert from "node:assert/strict";
import { test } from "node:test";
import { inspectModel } from "../../src/run/inspect.js";
import { at } from "../at.js";
import { problemsOf } from "../command-lines.js";

const inspect = (name: string, dims = {}) => inspectModel(at("fixtures", name), dims);

test("inspectModel(file) says inputs without weights, dimensions with a guess, parameters by module, and a command", async () => {
  const found = inspect("resnet18.onnx");
  assert.deepEqual(found.inputs, [{ name: "input", dtype: "float32", dims: ["batch", 3, 224, 224] }]);
  assert.deepEqual(found.outputs, [{ name: "output", dtype: "float32", dims: ["batch", 1000] }]);
  assert.deepEqual([found.dims, found.guessed], [{ batch: 8 }, ["batch"]]);
  assert.equal(found.parameters, 11_689_512);
  assert.equal(found.parameterBytes, 4 * 11_689_512);
  assert.equal(
    found.modules.reduce((sum, module) => sum + module.parameters, 0),
    found.parameters,
  );
  const fc = found.modules.find(({ path }) => path === "fc");
  assert.deepEqual([fc?.tensors, fc?.parameters], [2, 513_000]);
  assert.ok(found.modules.some(({ path }) => path === "layer1.0"));
  assert.equal(found.problem, null);
  const fits = (loss: string) => found.losses.find((one) => one.loss === loss)?.problem;
  assert.deepEqual([fits("ce"), fits("mse"), fits("bce")], [null, null, null]);
  assert.match(fits("sum") ?? "", /loss already/);
  assert.match(found.command ?? "", / --loss ce --optimizer adam --dim batch=8$/);
  assert.deepEqual(await problemsOf(found.command ?? ""), []);
  assert.deepEqual(inspect("resnet18.onnx", { batch: 2 }).guessed, []);
});

for (const [name, loss] of [
  ["gpt2_tiny.dynamo.onnx", "ce"],
  ["unet_bn.dynamo.onnx", "ce:axis=1"],
  ["mlp.dynamo.onnx", "ce"],
  ["bert_tiny.ts.onnx", "ce"],
  ["lstm.ts.onnx", "ce"],
] as const)
  test(`inspectModel(${name}) makes a command that parses, with loss ${loss}`, async () => {
    const found = inspect(name);
    assert.equal(found.problem, null);
    assert.match(found.command ?? "", new RegExp(` --loss ${loss}(,output=\\S+)? `));
    assert.deepEqual(await problemsOf(found.command ?? ""), []);
    assert.ok(found.modules.length > 0 && found.modules.length <= 24, `${found.modules.length} modules`);
  });

test("inspectModel(file) throws a line for a dimension that is not there, and for a file that is no model", () => {
  assert.throws(
    () => inspect("resnet18.onnx", { width: 3 }),
    /^Error: unknown dimension: width \(the model has batch\)$/,
  );
  assert.throws(
    () => inspect("mlp.safetensors"),
    /^Error: not an ONNX file: .* \(weights without a graph; export the model: /,
  );
});
