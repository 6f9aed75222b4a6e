import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeModel } from "../../src/model/onnx-proto.js";
import { hostModel, hostOp } from "../../src/runtime/ort-host.js";

test("hostModel() is an ONNX model of one node, Host(x) -> y in our domain", () => {
  const { graph, opsetImport } = decodeModel(hostModel());
  assert.deepEqual(
    graph?.node?.map(({ opType, domain, input, output }) => `${output} = ${domain}.${opType}(${input})`),
    ["y = mutwo.host.Host(x)"],
  );
  for (const [ends, name] of [[graph?.input, "x"] as const, [graph?.output, "y"] as const]) {
    const [end] = ends ?? [];
    assert.deepEqual([ends?.length, end?.name, end?.type?.tensorType?.elemType], [1, name, 1]);
    assert.equal(end?.type?.tensorType?.shape?.dim?.length, 1);
  }
  assert.deepEqual(
    opsetImport?.map(({ domain, version }) => `${domain} ${version}`),
    [" 18", "mutwo.host 1"],
  );
});

test("hostOp() is one for the whole process: its callbacks are never freed", () => {
  assert.equal(hostOp(), hostOp());
});
