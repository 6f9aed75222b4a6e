import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { Tensor } from "onnxruntime-node";
import { exportRun, writeOnnx } from "../../src/export/export-file.js";
import { printable } from "../../src/graph/message.js";
import { bytesOf } from "../../src/graph/values.js";
import type { Model } from "../../src/model/model.js";
import { openOnnx } from "../../src/model/onnx.js";
import { decodeModel } from "../../src/model/onnx-proto.js";
import { profileModel } from "../../src/run/pipeline.js";
import type { Together } from "../../src/run/together.js";
import { at } from "../at.js";
import { bytesOfTensor, openSession } from "../exported.js";
import { goldenRun } from "../golden-run.js";

const folder = mkdtempSync(path.join(tmpdir(), "mutwo-export-file-"));

after(() => rmSync(folder, { recursive: true }));

const count = (n: number): Uint8Array =>
  bytesOf(
    "float32",
    Array.from({ length: n }, (_, i) => i),
  );

const sizes = { small: 4, large: 300, larger: 2000 };

const model: Model = {
  irVersion: 8,
  opset: 18,
  opsets: { "": 18 },
  producer: "test",
  graphName: "g",
  inputs: [{ name: "x", dtype: "float32", dims: [1] }],
  outputs: [{ name: "y", dtype: "float32", dims: [2304] }],
  initializers: new Map(
    Object.entries(sizes).map(([name, n]) => [name, { dtype: "float32" as const, shape: [n], data: count(n) }]),
  ),
  nodes: [
    {
      name: "n",
      domain: "",
      op: "Concat",
      inputs: Object.keys(sizes),
      outputs: ["y"],
      attributes: { axis: { type: "int", value: 0 } },
    },
  ],
  valueInfo: [],
  metadata: {},
  graphMetadata: {},
};

const write = (name: string, largest?: number) => {
  const file = path.join(folder, name);
  return { file, endings: writeOnnx(model, file, `${file}.data`, `${name}.data`, largest) };
};

test("exportRun(run) refuses in one printable line, whatever the model's names hold", () => {
  const run = goldenRun("mlp-cpu");
  const named = { ...run, model: { ...run.model, path: path.join(folder, "\u001b[2Jno\nmodel.onnx") } };
  assert.throws(
    () => exportRun(named, path.join(folder, "out.onnx")),
    ({ message }: Error) => message === printable(message) && message.includes("\\u001b[2Jno\\nmodel.onnx"),
  );
});

test("writeOnnx(model) keeps all data inside as long as it is small", () => {
  const { file, endings } = write("inline.onnx");
  assert.deepEqual(endings, [""]);
  assert.equal(existsSync(`${file}.data`), false);
  assert.deepEqual(openOnnx(file), model);
});

test("writeOnnx(model) puts tensors of 1 KiB and more outside, each on a page of its own; readers find them", () => {
  const { file, endings } = write("outside.onnx", 9000);
  assert.deepEqual(endings, ["", ".data"]);
  const places = (decodeModel(readFileSync(file)).graph?.initializer ?? []).map(({ name, externalData = [] }) => [
    name,
    ...externalData.map(({ value }) => value),
  ]);
  assert.deepEqual(places, [
    ["small"],
    ["large", "outside.onnx.data", "0", "1200"],
    ["larger", "outside.onnx.data", "4096", "8000"],
  ]);
  assert.equal(statSync(`${file}.data`).size, 4096 + 8000);
  assert.deepEqual(openOnnx(file), model);
});

test("exportRun(run) of several models has each one's own step: what it gives is what that of the model alone gives", async () => {
  const mlp = at("fixtures/mlp.ts.onnx");
  const given = { loss: "ce", threads: 1, iterations: 1, warmups: 0 };
  const joint = await profileModel(mlp, {
    ...given,
    optimizer: "adam",
    copies: 2,
    vary: ["lr=1e-3,1e-2"],
    arrange: "fused",
  });
  const alone = await profileModel(mlp, { ...given, optimizer: "adam:lr=1e-2", seed: 1 });
  const [together, single] = ["joint.onnx", "alone.onnx"].map((name) => path.join(folder, name)) as [string, string];
  const { names } = exportRun(joint, together);
  exportRun(alone, single);
  assert.deepEqual(
    [...names.losses],
    [
      ["m0", "m0/loss"],
      ["m1", "m1/loss"],
    ],
  );
  assert.deepEqual(names.inputs, ["m0/input", "m0/target", "m1/input", "m1/target"]);
  const input = new Tensor(
    "float32",
    Float32Array.from({ length: 1600 }, (_, i) => Math.sin(i)),
    [16, 100],
  );
  const target = new Tensor(
    "int64",
    BigInt64Array.from({ length: 16 }, (_, i) => BigInt(i)),
    [16],
  );
  const run = async (file: string, feeds: Record<string, Tensor>) => {
    const session = await openSession(file);
    const outputs = await session.run(feeds);
    await session.release();
    return outputs;
  };
  const expected = await run(single, { input, target });
  const found = await run(together, { "m0/input": input, "m0/target": target, "m1/input": input, "m1/target": target });
  const own = Object.keys(expected);
  assert.ok(own.length > 80);
  for (const name of own) assert.deepEqual(bytesOfTensor(found[`m1/${name}`]), bytesOfTensor(expected[name]), name);
  assert.notDeepEqual(bytesOfTensor(found["m0/mod.0.weight.next"]), bytesOfTensor(found["m1/mod.0.weight.next"]));
  assert.throws(
    () =>
      exportRun(
        {
          ...joint,
          together: {
            ...(joint.together as Together),
            trials: joint.together?.trials.map((one, i) => ({ ...one, sha256: String(i) })) as never,
          },
        },
        together,
        { model: mlp },
      ),
    /^Error: the run is of several model files: .* is one \(leave --model out\)$/,
  );
});
