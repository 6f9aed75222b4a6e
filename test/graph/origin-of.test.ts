import assert from "node:assert/strict";
import { test } from "node:test";
import { chunkName, copyName, gradientName, microName, sliceName, swapName } from "../../src/graph/names.js";
import { knownOriginal, moduleOfParameter, originOf } from "../../src/graph/origin-of.js";
import type { Origins } from "../../src/graph/origins.js";

const origins: Origins = {
  basis: "exporter",
  modules: [{ path: "fc", class: "torch.nn.modules.linear.Linear" }, { path: "" }],
  sources: [{ file: "net.py", line: 3 }],
  nodes: [
    ["/fc/Gemm", 0, 0],
    ["node_add", 1],
    ["__proto__", 0],
  ],
  fused: [["node_add.grad/Mul", "whole"]],
};

test("originOf(origins, name) finds a node by its name and whatever is made of it by its marks and scopes", () => {
  const gemm = "/fc/Gemm";
  const made = [
    gemm,
    `${gemm}/MatMul`,
    gradientName(gemm),
    `${gradientName(gemm)}/MatMul_2`,
    copyName(gemm, 2),
    copyName(`${gradientName(gemm)}/Relu/Max`),
    microName(gemm, 3),
    `${gradientName(microName(gemm, 2))}/Transpose`,
    chunkName(microName(gemm, 2), 4),
    sliceName(gemm, 1),
    swapName(gemm, "out"),
    swapName(gemm, "in", 3),
  ];
  for (const name of made)
    assert.deepEqual(originOf(origins, name), { module: "fc", source: { file: "net.py", line: 3 } }, name);
  assert.deepEqual(originOf(origins, "node_add@recompute"), { module: "" });
  for (const name of ["/fc", "node_adder", "", "constructor", "toString/x"])
    assert.equal(originOf(origins, name), undefined);
  assert.equal(originOf(origins, "__proto__")?.module, "fc");
});

test("originOf tells fused nodes, and their copies, the module that holds all their parts", () => {
  assert.equal(originOf(origins, "node_add.grad/Mul")?.module, "whole");
  assert.equal(originOf(origins, "node_add.grad/Mul@recompute")?.module, "whole");
  assert.equal(originOf(origins, "node_add.grad/Mul/Exp")?.module, "");
});

test("knownOriginal gives up on names with more scopes than any has", () => {
  const name = `a${"/b".repeat(5000)}`;
  let asked = 0;
  assert.equal(
    knownOriginal(name, () => {
      asked++;
      return false;
    }),
    undefined,
  );
  assert.equal(asked, 64);
});

test("moduleOfParameter(name) is the name without its last part, of a name with slashes the nearest that is known", () => {
  assert.equal(moduleOfParameter("layer2.0.conv1.weight", new Set()), "layer2.0.conv1");
  assert.equal(moduleOfParameter("W", new Set()), undefined);
  const known = new Set(["model.dense"]);
  assert.equal(moduleOfParameter("model/dense/MatMul/ReadVariableOp:0", known), "model.dense");
  assert.equal(moduleOfParameter("onnx::MatMul_123", known), undefined);
  assert.ok((moduleOfParameter(`${"n".repeat(10_000)}.w`, known)?.length ?? 0) <= 100);
});
