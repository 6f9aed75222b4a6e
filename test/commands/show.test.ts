import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { Command } from "commander";
import { listing, showCommand } from "../../src/commands/show.js";
import { phases } from "../../src/graph/graph.js";
import { writeRun } from "../../src/report/write.js";
import { profileModel } from "../../src/run/pipeline.js";
import { loadGraph, type SavedGraph } from "../../src/run/run.js";
import { at } from "../at.js";

const model = at("fixtures/mlp.ts.onnx");

const folder = mkdtempSync(path.join(tmpdir(), "mutwo-show-"));

let run = "";

before(async () => {
  const profiled = await profileModel(model, { loss: "mse", optimizer: "sgd", planner: "recomputeAll", iterations: 1 });
  run = (await writeRun(profiled, { folder, pictures: false })).folder;
});

after(() => rmSync(folder, { recursive: true }));

const step = { loss: "mse", optimizer: "sgd" };

test("mutwo show MODEL prints the forward graph: rank, bytes, types, one node a line", () => {
  const { status, stdout } = spawnSync(process.execPath, ["--import", "tsx", at("../src/cli.ts"), "show", model], {
    encoding: "utf8",
  });
  const lines = stdout.split("\n");
  assert.equal(status, 0);
  assert.match(lines[0] ?? "", /^# the forward pass of mlp\.ts\.onnx: 20 nodes/);
  const relu = "[/mod/mod.1/Relu] float32[16,100] /mod/mod.1/Relu_output_0 = Relu(/mod/mod.0/Gemm_output_0)";
  assert.ok(lines.includes(`     1  6.25 KiB    ${relu}`), stdout);
  assert.ok(!lines.includes("backward:"));
});

test("listing(model, {around}) marks the node among its neighbours, named by its name, its tensor or its rank", async () => {
  const text = await listing(model, step, { around: "/mod/mod.17/Relu", distance: 1 });
  assert.deepEqual(
    text.split("\n").flatMap((line) => /^ +(\d+) .*? ([> ]) {2}\[([^\]]+)\]/.exec(line)?.slice(1).join(" ") ?? []),
    [
      "16   /mod/mod.16/Gemm",
      "17 > /mod/mod.17/Relu",
      "18   /mod/mod.18/Gemm",
      "28   /mod/mod.18/Gemm.grad/Gemm_2",
      "30   /mod/mod.17/Relu.grad/Greater",
    ],
  );
  for (const around of ["17", "/mod/mod.17/Relu_output_0"])
    assert.equal(await listing(model, step, { around, distance: 1 }), text);
});

test("mutwo show RUN NODE prints the node's module, class and line, and the nodes around it", async () => {
  const args = ["--import", "tsx", at("../src/cli.ts"), "show", run, "/mod/mod.16/Gemm.grad/Gemm_2", "--distance", "0"];
  const { status, stdout } = spawnSync(process.execPath, args, { encoding: "utf8" });
  assert.equal(status, 0);
  const lines = stdout.split("\n");
  assert.match(lines[0] ?? "", /: 1 of \d+ nodes/);
  assert.equal(lines[1], "# /mod/mod.16/Gemm.grad/Gemm_2: module mod.16");
  const dynamo = at("fixtures/full/gpt2_small.onnx");
  const text = await listing(dynamo, { dims: { batch: 1 } }, { around: "node_softmax_1", distance: 0 });
  const attention =
    "# node_softmax_1: module m.transformer.h.1.attn (transformers.models.gpt2.modeling_gpt2.GPT2Attention), transformers/models/gpt2/modeling_gpt2.py:211: attn_output, attn_weights = attention_interface(";
  assert.equal(text.split("\n")[1], attention);
});

test("listing(model, {lowered}) is the graph as the CPU executes it", async () => {
  const file = at("fixtures/resnet_bottleneck_dynamic.onnx");
  const built = await listing(file, { dims: { batch: 2 } }, {});
  const lowered = await listing(file, { dims: { batch: 2 } }, { lowered: true });
  assert.match(lowered, /as .* executes it: \d+ nodes/);
  // the CPU has no kernel for batch norm as it is trained
  assert.deepEqual(
    [built, lowered].map((text) => text.includes("mutwo.BatchNormalization<")),
    [true, false],
  );
});

test("listing(run) is the step that was profiled, with {planned} recomputed nodes too", async () => {
  const text = await listing(run, {}, { phase: "backward" });
  assert.ok(text.includes("backward:") && !text.includes("update:") && !text.includes("@recompute"));
  const planned = await listing(path.join(run, "run.json"), {}, { planned: true });
  assert.match(planned, /^# .*, planned by recomputeAll: /);
  assert.ok(planned.includes("@recompute"));
});

test("listing(run, {json}) is a graph as run.json holds it", async () => {
  const text = await listing(run, {}, { phase: "update", json: true });
  const graph = loadGraph(JSON.parse(text) as SavedGraph);
  assert.deepEqual(new Set(graph.nodes.map(({ phase }) => phase)), new Set(["update"]));
  assert.ok(graph.nodes.every(({ inputs }) => inputs.every((name) => graph.tensors.has(name))));
});

test("listing refuses in one line what does not fit", async () => {
  const refused = (file: string, options: object, flags: object, message: RegExp) =>
    assert.rejects(listing(file, options, flags), { message });
  const relu = /^unknown node: mod\.17\/Relu \(nearest: \/mod\/mod\.17\/Relu, .*\)$/;
  await refused(model, {}, { around: "mod.17/Relu" }, relu);
  await refused(model, {}, { around: "mod.0.weight" }, /^no node makes the parameter: mod\.0\.weight$/);
  await refused(model, {}, { planned: true }, /^a model has no plan, show a run: .*$/);
  await refused(run, { clipNorm: 1 }, {}, /^the graph of a run is as it was profiled, --clip-norm is for a model: .*$/);
  const forward =
    /^no backward node in the forward pass of mlp\.ts\.onnx \(with --loss and --optimizer it is a training step\)$/;
  await refused(model, {}, { phase: "backward" }, forward);
  await refused(model, {}, { phase: "backward", around: "3" }, forward);
  const far = /^no update node within 1 of \/mod\/mod\.1\/Relu, a forward node$/;
  await refused(model, step, { phase: "update", around: "1", distance: 1 }, far);
  await refused(folder, {}, {}, /^cannot read run: .*run\.json \(ENOENT\)$/);
});

test("mutwo show refuses a loss without an optimizer before it reads the model", async () => {
  const root = showCommand(new Command().exitOverride()).configureOutput({ writeErr: () => {} });
  const words = ["none.onnx", "--loss", "mse"];
  await assert.rejects(root.parseAsync(words, { from: "user" }), /a training step needs --loss and --optimizer: mse/);
});

test("mutwo show --phase takes every phase there is", () => {
  const option = showCommand(new Command()).options.find(({ long }) => long === "--phase");
  assert.deepEqual(option?.argChoices, phases);
});
