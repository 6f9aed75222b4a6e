import assert from "node:assert/strict";
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { profileModel } from "../../src/run/pipeline.js";
import { withSetting } from "../../src/run/recorded-setting.js";
import { encodeRecording, readRecording } from "../../src/runtime/recording.js";
import { at } from "../at.js";

const folder = mkdtempSync(path.join(tmpdir(), "mutwo-setting-"));

after(() => rmSync(folder, { recursive: true }));

const recording = at("recordings/resnet50.recording");
const backend = `replay:${recording}`;
const model = at("fixtures/full/resnet50.onnx");
const options = "--loss ce --optimizer adam:lr=1e-4 --dim batch=64";

test("withSetting(error) of a step that is not the recorded one says which was, as the command that replays it", async () => {
  const said = `; the recording is of: mutwo profile ${model} ${options} --backend ${backend}`;
  const wrong = [
    { optimizer: "adam:lr=1e-4", dims: { batch: 32 } },
    { optimizer: "sgd", dims: { batch: 64 } },
    { optimizer: "sgd" },
  ];
  for (const one of wrong)
    await assert.rejects(profileModel(model, { loss: "ce", ...one, backend }), ({ message }: Error) => {
      assert.match(message, /^(no kernel|not in the recording|unbound dimension): /);
      assert.ok(message.endsWith(said), message);
      return true;
    });
});

test("withSetting(error) takes a model beside the recording, else its path as it was; other errors stay as they are", () => {
  const error = new Error("not in the recording: Conv of this size (node c)");
  const file = path.join(folder, "a.recording");
  copyFileSync(recording, file);
  const command = (place: string): string =>
    `${error.message}; the recording is of: mutwo profile ${place} ${options} --backend replay:${file}`;
  assert.equal(withSetting(error, "other.onnx", `replay:${file}`).message, command("test/fixtures/full/resnet50.onnx"));
  writeFileSync(path.join(folder, "resnet50.onnx"), "");
  const beside = path.join(folder, "resnet50.onnx");
  assert.equal(withSetting(error, "other.onnx", `replay:${file}`).message, command(beside));
  assert.equal(withSetting(error, "my/resnet50.onnx", `replay:${file}`).message, command("my/resnet50.onnx"));
  const other = new Error("cannot read model: x (ENOENT)");
  assert.equal(withSetting(other, "x", backend), other);
  assert.equal(withSetting(error, "x", "cpu"), error);
  const { setting: _, ...old } = readRecording(file);
  writeFileSync(file, encodeRecording(old));
  assert.equal(withSetting(error, "x", `replay:${file}`), error);
});

test("profileModel(record) keeps which step it was", async () => {
  const record = path.join(folder, "mlp.recording");
  await profileModel(at("fixtures/mlp.ts.onnx"), { loss: "mse", optimizer: "sgd", iterations: 1, record });
  assert.deepEqual(readRecording(record).setting, {
    model: at("fixtures/mlp.ts.onnx"),
    options: { loss: "mse", optimizer: "sgd", dims: {} },
  });
});
