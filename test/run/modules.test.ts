import assert from "node:assert/strict";
import { test } from "node:test";
import { savedActivations } from "../../src/memory/activations.js";
import { readModel } from "../../src/model/read.js";
import { rewrite } from "../../src/plan/rewrite.js";
import { isOutside, moduleOfText, modulesIn, modulesOf, moduleText, outside } from "../../src/run/modules.js";
import { saveGraph } from "../../src/run/run.js";
import { lowerFor } from "../../src/step/lower.js";
import { type TrainingOptions, trainingStep } from "../../src/step/training.js";
import { at } from "../at.js";

const stepOf = (file: string, options: Partial<TrainingOptions> = {}, fuses = false) =>
  lowerFor(
    { fuses, hasKernel: () => true },
    trainingStep(readModel(at("fixtures", file)).graph, { loss: "mse", optimizer: "adam", ...options }),
  );

const resnet = { loss: "ce", optimizer: "adamw" };

test("ofNode(name) leads every node of a lowered, accumulated, mixed and chunked step to a module of the model", () => {
  const graph = stepOf("gpt2_tiny.dynamo.onnx", {
    loss: "ce:chunks=2",
    optimizer: "adamw",
    accumulate: 2,
    clipNorm: 1,
    precision: "mixed",
  });
  const modules = modulesIn(graph);
  assert.equal(modules.basis, "parameters");
  const of = new Map(graph.nodes.map(({ name }) => [name, modules.ofNode(name).module]));
  for (const { name, phase } of graph.nodes) {
    const module = of.get(name) ?? "";
    assert.notEqual(module, outside.unknown, name);
    if (phase === "forward") assert.ok(!isOutside(module), name);
    if (!name.includes("loss") && phase === "backward") assert.ok(!isOutside(module), name);
  }
  assert.equal(of.get("node_softmax@micro2"), "m.transformer.h.0.attn");
  assert.equal(of.get("node_linear@micro2@chunk1"), "m.lm_head");
  assert.equal(of.get("loss@chunk1/LogSoftmax"), outside.loss);
});

test("ofNode tells a fused node the module that holds all of its parts", () => {
  const graph = stepOf("resnet_basic.ts.onnx", resnet, true);
  const modules = modulesIn(graph);
  const add = graph.nodes.find(({ name }) => name === "/m/resnet/encoder/stages.0/layers.0/activation/Relu");
  assert.equal(add?.op, "Fused");
  assert.equal(modules.ofNode(add?.name ?? "").module, "m.resnet.encoder.stages.0.layers.0");
});

test("ofNode and ofTensor find copies and swaps of a planned step", () => {
  const graph = stepOf("mlp.ts.onnx");
  const modules = modulesOf({ graph: saveGraph(graph) });
  const all = [...savedActivations(graph).values()].filter(({ fixed }) => !fixed);
  const decisions = all.map(({ name }, i) => ({
    activation: name,
    action: i % 2 ? ("swap" as const) : ("recompute" as const),
  }));
  const planned = rewrite(graph, decisions);
  const own = new Set(graph.nodes.map(({ name }) => name));
  const added = planned.nodes.filter(({ name }) => !own.has(name));
  assert.ok(added.some(({ op }) => op.startsWith("Swap")) && added.some(({ op }) => op === "Relu"));
  for (const { name, inputs, outputs } of added) {
    const { module } = modules.ofNode(name);
    assert.match(module, /^mod\.\d+$|^\(loss\)$/, name);
    for (const tensor of [...inputs, ...outputs].filter(Boolean))
      assert.notEqual(modules.ofTensor(tensor), outside.unknown, tensor);
  }
});

for (const [what, fuses] of [
  ["in slices", false],
  ["fused", true],
] as const)
  test(`sharesOfNode divides an update that is done ${what} by parameters`, () => {
    const graph = stepOf("mlp.ts.onnx", { clipNorm: 1 }, fuses);
    const modules = modulesIn(graph);
    const updates = graph.nodes.filter(({ phase }) => phase === "update");
    const flat = updates.filter(({ name }) => modules.sharesOfNode(name).length > 1);
    assert.ok(flat.length > 0);
    for (const { name } of updates) {
      const shares = modules.sharesOfNode(name);
      const sum = shares.reduce((total, { share }) => total + share, 0);
      assert.ok(Math.abs(sum - 1) < 1e-12, `${name} ${sum}`);
      if (shares.length > 1) for (const { parameter, module } of shares) assert.ok(parameter?.startsWith(`${module}.`));
      else assert.match(shares[0]?.module ?? "", /^\(update\)$|^mod\.\d+$/);
    }
  });

test("sharesOfTensor divides flat buffers; other tensors are of one module, inputs and the optimizer's scalars of none", () => {
  const graph = stepOf("mlp.ts.onnx");
  const modules = modulesIn(graph);
  assert.equal(modules.sharesOfTensor("parameters").length, 20);
  assert.equal(modules.ofTensor("parameters.m"), "mod");
  assert.equal(modules.ofTensor("mod.4.weight"), "mod.4");
  assert.equal(modules.ofTensor("mod.4.weight.grad"), "mod.4");
  assert.equal(modules.ofTensor("/mod/mod.3/Relu_output_0"), "mod.3");
  assert.equal(modules.ofTensor("input"), outside.inputs);
  assert.equal(modules.ofTensor("target"), outside.inputs);
  assert.equal(modules.ofTensor("parameters.beta1_power"), outside.update);
  assert.equal(modules.ofTensor("nobody"), outside.unknown);
});

test("a graph without names of modules has none: what is in it is in no module, flat buffers are divided all the same", () => {
  const { origins: _, ...graph } = stepOf("mlp.ts.onnx");
  const names = new Map<string, string>();
  const plain = (name: string): string => {
    if (!name) return name;
    names.set(name, names.get(name) ?? `t${names.size}`);
    return names.get(name) as string;
  };
  const bare = {
    ...graph,
    nodes: graph.nodes.map((node, i) => ({
      ...node,
      name: `n${i}`,
      inputs: node.inputs.map(plain),
      outputs: node.outputs.map(plain),
    })),
    tensors: new Map(
      [...graph.tensors.values()].map((tensor) => [
        plain(tensor.name),
        {
          ...tensor,
          name: plain(tensor.name),
          ...(tensor.within && { within: { ...tensor.within, tensor: plain(tensor.within.tensor) } }),
        },
      ]),
    ),
  };
  const modules = modulesIn(bare);
  assert.equal(modules.basis, null);
  assert.equal(modules.ofNode("n3").module, outside.unknown);
  assert.equal(modules.sharesOfTensor(plain("parameters")).length, 20);
});

test("moduleText and moduleOfText write and read a path; the model itself has a word of its own", () => {
  for (const module of ["", "a.b", outside.loss]) assert.equal(moduleOfText(moduleText(module)), module);
  assert.equal(moduleText(""), "(model)");
});
