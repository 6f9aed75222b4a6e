import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { exportRun, writeOnnx } from "../../src/export/export-file.js";
import { printable } from "../../src/graph/message.js";
import { bytesOf } from "../../src/graph/values.js";
import type { Model } from "../../src/model/model.js";
import { openOnnx } from "../../src/model/onnx.js";
import { decodeModel } from "../../src/model/onnx-proto.js";
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
