import assert from "node:assert/strict";
import { test } from "node:test";
import { environment } from "../../src/run/environment.js";
import { openRuntime } from "../../src/runtime/open.js";

test("environment(runtime) says with which versions and on what machine", () => {
  const runtime = openRuntime("cpu", { threads: 1 });
  const { onnxruntime, node, cores } = environment(runtime);
  runtime.close();
  assert.deepEqual([onnxruntime, node], [runtime.device.runtimeVersion, process.version]);
  assert.ok(cores >= 1);
});
