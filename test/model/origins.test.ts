import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import type { Graph } from "../../src/graph/graph.js";
import { originOf } from "../../src/graph/origin-of.js";
import { encodeModel, type ProtoNode } from "../../src/model/onnx-proto.js";
import { originsOfStep } from "../../src/model/origins.js";
import { readModel } from "../../src/model/read.js";
import { at } from "../at.js";

const folder = mkdtempSync(path.join(tmpdir(), "mutwo-origins-"));

after(() => rmSync(folder, { recursive: true }));

const value = (name: string, size: number): object => ({
  name,
  type: { tensorType: { elemType: 1, shape: { dim: [{ dimValue: size }, { dimValue: size }] } } },
});

/** The forward graph of a file of these nodes, whose parameters are square matrices. */
function graphOf(node: ProtoNode[], parameters: readonly string[], size = 2): Graph {
  const file = path.join(folder, "model.onnx");
  const output = node.at(-1)?.output?.[0] ?? "";
  const initializer = parameters.map((name) => ({
    name,
    dataType: 1,
    dims: [size, size],
    floatData: Array.from({ length: size * size }, (_, i) => 0.1 * i),
  }));
  const graph = { name: "g", node, initializer, input: [value("x", size)], output: [value(output, size)] };
  writeFileSync(file, encodeModel({ irVersion: 8, opsetImport: [{ domain: "", version: 18 }], graph: graph as never }));
  return readModel(file).graph;
}

const op = (
  opType: string,
  name: string,
  input: string[],
  output: string,
  more: Partial<ProtoNode> = {},
): ProtoNode => ({
  opType,
  name,
  input,
  output: [output],
  ...more,
});

/** Modules by node, and what told them. */
const modules = (graph: Graph) => ({
  basis: graph.origins?.basis,
  of: Object.fromEntries(graph.nodes.map(({ name }) => [name, graph.origins && originOf(graph.origins, name)?.module])),
});

/** Notes of the dynamo exporter. */
const noted = (scopes: string, trace = ""): Partial<ProtoNode> => ({
  metadataProps: [
    { key: "pkg.torch.onnx.name_scopes", value: scopes },
    { key: "pkg.torch.onnx.stack_trace", value: trace },
  ],
});

test("originsOf a dynamo export is what the exporter noted; a node without notes is in the module that holds its neighbours", () => {
  const line = 'File "/home/me/net.py", line 16, in forward\n    return self.act(x)';
  const graph = graphOf(
    [
      op(
        "MatMul",
        "node_a",
        ["x", "blocks.3.attn.q.weight"],
        "a",
        noted("['', 'blocks.3.attn', 'blocks.3.attn.q', 'mm']"),
      ),
      op("Relu", "softmax_10", ["a"], "b"),
      op(
        "MatMul",
        "node_c",
        ["b", "blocks.3.attn.o.weight"],
        "c",
        noted("['', 'blocks.3.attn', 'blocks.3.attn.o', 'mm']", line),
      ),
      op("Tanh", "node_d", ["c"], "d", noted("['', 'tanh']")),
    ],
    ["blocks.3.attn.q.weight", "blocks.3.attn.o.weight"],
  );
  assert.deepEqual(modules(graph), {
    basis: "exporter",
    of: { node_a: "blocks.3.attn.q", softmax_10: "blocks.3.attn", node_c: "blocks.3.attn.o", node_d: "" },
  });
  assert.deepEqual(graph.origins?.sources, [{ file: "home/me/net.py", line: 16, code: "return self.act(x)" }]);
});

test("originsOf a real dynamo export knows module, class and line of every node", () => {
  const { graph } = readModel(at("fixtures/full/gpt2_small.onnx"), { dims: { batch: 1 } });
  const { origins } = graph;
  assert.ok(origins);
  assert.equal(origins.basis, "exporter");
  const softmax = graph.nodes.filter(({ op }) => op === "Softmax").map(({ name }) => originOf(origins, name));
  assert.deepEqual(
    softmax.map((origin) => origin?.module),
    Array.from({ length: 12 }, (_, i) => `m.transformer.h.${i}.attn`),
  );
  const attention = origins.modules.find((module) => module.path === "m.transformer.h.0.attn");
  assert.equal(attention?.class, "transformers.models.gpt2.modeling_gpt2.GPT2Attention");
  assert.match(softmax[0]?.source?.file ?? "", /^transformers\/.*\.py$/);
  assert.ok(graph.nodes.every(({ name }) => originOf(origins, name)));
  // a table of names and numbers, not a copy of the exporter's notes
  assert.ok(JSON.stringify(origins).length < 60_000, `${JSON.stringify(origins).length} characters`);
});

test("originsOf a TorchScript export takes modules from the names of nodes; a second call is the same module", () => {
  const { graph } = readModel(at("fixtures/siamese.ts.onnx"));
  const { basis, of } = modules(graph);
  assert.equal(basis, "names");
  assert.equal(of["/tower/tower.0/Gemm"], "tower.0");
  assert.equal(of["/tower/tower.0_1/Gemm"], "tower.0");
  assert.equal(of["/Sub"], "");
  const { graph: resnet } = readModel(at("fixtures/resnet_basic.ts.onnx"));
  assert.equal(
    modules(resnet).of["/m/resnet/encoder/stages.0/layers.0/layer/layer.1/normalization/BatchNormalization"],
    "m.resnet.encoder.stages.0.layers.0.layer.1.normalization",
  );
});

test("originsOf keeps numbered modules apart that have parameters of their own", () => {
  const graph = graphOf(
    [
      op("MatMul", "/fc/MatMul", ["x", "fc.weight"], "a"),
      op("Relu", "/act/Relu", ["a"], "b"),
      op("MatMul", "/fc_1/MatMul", ["b", "fc_1.weight"], "c"),
      op("Relu", "/act_1/Relu", ["c"], "d"),
    ],
    ["fc.weight", "fc_1.weight"],
  );
  assert.deepEqual(Object.values(modules(graph).of), ["fc", "act", "fc_1", "act"]);
});

test("originsOf reads the names that Keras and tf2onnx write", () => {
  const graph = graphOf(
    [
      op(
        "MatMul",
        "StatefulPartitionedCall/model/block1/dense/MatMul",
        ["x", "model/block1/dense/MatMul/ReadVariableOp:0"],
        "a",
      ),
      op(
        "Add",
        "StatefulPartitionedCall/model/block1/dense/BiasAdd",
        ["a", "model/block1/dense/BiasAdd/ReadVariableOp:0"],
        "b",
      ),
      op("Transpose", "Transpose__45", ["b"], "c"),
      op("Relu", "StatefulPartitionedCall/model/block1/act/Relu;StatefulPartitionedCall/model/x/y", ["c"], "d"),
    ],
    ["model/block1/dense/MatMul/ReadVariableOp:0", "model/block1/dense/BiasAdd/ReadVariableOp:0"],
  );
  assert.equal(graph.origins?.basis, "names");
  assert.deepEqual(Object.values(modules(graph).of), [
    "model.block1.dense",
    "model.block1.dense",
    "model.block1",
    "model.block1.act",
  ]);
});

test("originsOf a file whose nodes have no scopes goes by the parameters that they read", () => {
  const { graph } = readModel(at("fixtures/gpt2_tiny.dynamo.onnx"));
  const { basis, of } = modules(graph);
  assert.equal(basis, "parameters");
  assert.equal(of.node_addmm, "m.transformer.h.0.attn.c_attn");
  assert.equal(of.node_softmax, "m.transformer.h.0.attn");
});

test("originsOf a file without any names of modules is undefined", () => {
  const graph = graphOf([op("MatMul", "", ["x", "W"], "a"), op("Relu", "r", ["a"], "b")], ["W"]);
  assert.equal(graph.origins, undefined);
});

test("originsOf hostile names is short, quick and loses no node", () => {
  const scope = `/${"<img src=x onerror=alert(1)>\n".repeat(20)}`;
  const deep = `${"/d".repeat(5000)}/Relu`;
  const graph = graphOf(
    [
      op("Relu", `${scope}/Relu`, ["x"], "a"),
      op("Relu", deep, ["a"], "b"),
      op("Relu", "////Relu", ["b"], "c"),
      op("Relu", "__proto__/constructor/Relu", ["c"], "d"),
      op("Relu", `/${"x".repeat(10_000)}/Relu`, ["d"], "e"),
    ],
    [],
  );
  const paths = Object.values(modules(graph).of);
  assert.equal(paths.length, 5);
  for (const module of paths) assert.ok(module !== undefined && module.length <= 32 * 101 && !module.includes("\n"));
  assert.equal(paths[2], "");
  assert.equal(paths[3], "__proto__.constructor");
});

test("originsOfStep finds the modules of a step that was saved without them, by the names of its nodes", () => {
  const { graph } = readModel(at("fixtures/resnet_basic.ts.onnx"));
  const { origins, ...old } = graph;
  const found = originsOfStep(old);
  assert.ok(origins && found);
  for (const { name } of graph.nodes)
    assert.equal(originOf(found, name)?.module, originOf(origins, name)?.module, name);
});
