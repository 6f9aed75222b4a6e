import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { printGraph } from "../../src/build/text.js";
import { readModel, sha256Of } from "../../src/model/read.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { at } from "../at.js";

const folder = mkdtempSync(path.join(tmpdir(), "mutwo-read-"));

after(() => rmSync(folder, { recursive: true }));

test("sha256Of(file) is the hash of all of a file that is read in pieces", () => {
  const bytes = Buffer.alloc(2 ** 20 + 3, "ab");
  const file = path.join(folder, "large");
  writeFileSync(file, bytes);
  assert.equal(sha256Of(file), createHash("sha256").update(bytes).digest("hex"));
  assert.throws(() => sha256Of(path.join(folder, "none")), /^Error: cannot read model: .*none \(ENOENT\)$/);
});

test("readModel(file) is the same graph with a runtime of its own and with one that is given", () => {
  const file = at("fixtures", "resnet_bottleneck_dynamic.onnx");
  const runtime = openCpu();
  const given = readModel(file, { dims: { batch: 2 }, runtime });
  assert.deepEqual(printGraph(readModel(file, { dims: { batch: 2 } }).graph), printGraph(given.graph));
  // the given runtime is still open
  assert.ok(given.graph.nodes.every((node) => typeof runtime.hasKernel(node, given.graph) === "boolean"));
  runtime.close();
  assert.match(given.model.producer, /^pytorch/);
  assert.deepEqual(given.graph.tensors.get(given.graph.inputs[0] ?? "")?.shape[0], 2);
});

test("readModel(file, {dims}) throws one line for a dimension that is not bound", () => {
  assert.throws(() => readModel(at("fixtures", "resnet_bottleneck_dynamic.onnx")), {
    message: "unbound dimension: batch (pass --dim batch=N)",
  });
});
