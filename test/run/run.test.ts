import assert from "node:assert/strict";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import type { Tensor } from "../../src/graph/graph.js";
import { readRun } from "../../src/run/read-run.js";
import { loadGraph, newRunId, saveGraph } from "../../src/run/run.js";
import { goldenRun } from "../golden-run.js";

const folder = mkdtempSync(path.join(tmpdir(), "mutwo-run-"));

const file = (text: string): string => {
  const name = path.join(folder, "run.json");
  writeFileSync(name, text);
  return name;
};

const golden = goldenRun("resnet-h100");

test("readRun(file) refuses what is not a whole run of this version, in one line", () => {
  assert.throws(() => readRun("/nonexistent/run.json"), /cannot read run: .* \(ENOENT\)/);
  assert.throws(() => readRun(file('{"format": "mutwo-run", "ver')), /not JSON or is truncated/);
  assert.throws(() => readRun(file('{"a": 1}')), /not a mutwo run/);
  assert.throws(() => readRun(file('{"format": "mutwo-run", "version": 99}')), /format version 99/);
  assert.throws(() => readRun(file('{"format": "mutwo-run", "version": 1}')), /contradicts itself: no graph/);
});

test("readRun(folder) reads the run.json in it, and names it where it cannot", () => {
  const name = file(JSON.stringify(golden));
  assert.deepEqual(readRun(folder), readRun(name));
  const none = mkdtempSync(path.join(folder, "none-"));
  assert.throws(() => readRun(none), { message: `cannot read run: ${path.join(none, "run.json")} (ENOENT)` });
});

test("newRunId(model) names time and model", () => {
  const id = newRunId("folder/my model.onnx", new Date("2026-01-02T03:04:05Z"));
  assert.match(id, /^20260102-030405-my_model-[0-9a-f]{4}$/);
});

test("readRun(file) says in which part a run contradicts itself", () => {
  const refuses = (changed: object, message: RegExp): void =>
    assert.throws(() => readRun(file(JSON.stringify({ ...golden, ...changed }))), message);
  const { before, graph } = golden;
  const [first, ...others] = before.nodes;
  refuses({ before: { ...before, nodes: others } }, /: \d+ node rows for \d+ nodes \(/);
  refuses({ before: { ...before, nodes: [{ ...first, name: "other" }, ...others] } }, /: node row 0 is other \(/);
  const timeless = [{ ...first, time: {} }, ...others];
  refuses({ before: { ...before, nodes: timeless } }, /: node .* has no time \(/);
  refuses({ graph: { ...graph, tensors: [] } }, /: activation .* is not made by /);
  refuses({ before: { ...before, timeline: { ...before.timeline, peakBytes: 1 } } }, /: peak 1, timeline's greatest /);
  refuses({ before: { ...before, arenaBytes: 5 } }, /: arena of 5 below its peak \(/);
  const [tensor, ...tensors] = graph.tensors;
  refuses({ graph: { ...graph, tensors: [{ ...tensor, shape: [-4] }, ...tensors] } }, /: tensor .* has no shape \(/);
  const decisions = [{ activation: "ghost", action: "recompute" }];
  refuses({ plan: { ...golden.plan, decisions } }, /: decision on ghost, which is no saved activation \(/);
});

test("readRun(file) reads warnings that are plain sentences, and says what each is about", () => {
  const sentences = [
    ["replayed from a recording: nothing was executed, and the planned step's time is simulated", "run"],
    ["the unplanned step does not fit into the device", "unplanned"],
    ["the unplanned step's loss is not finite from iteration 1 on", "unplanned"],
    ["the planned step's loss is not finite from iteration 1 on", "planned"],
    ["2 tensors of the planned step differ from the unplanned one's", "planned"],
    ["no PDF and no plots: no usable browser", "run"],
  ] as const;
  const old = { ...golden, warnings: sentences.map(([text]) => text) };
  assert.deepEqual(
    readRun(file(JSON.stringify(old))).warnings,
    sentences.map(([text, about]) => ({ about, text, ...(/^replayed/.test(text) ? { kind: "replayed" } : {}) })),
  );
});

test("readRun(file) says which part of a damaged run is missing or is no such part", () => {
  const { before, graph, plan } = golden;
  const { model: _, ...modelless } = golden;
  const { decisions: __, ...undecided } = plan ?? assert.fail("no plan");
  const unlike: readonly (readonly [run: unknown, problem: string])[] = [
    [modelless, "no model"],
    [{ ...golden, model: { file: 5 } }, "no model"],
    [{ ...golden, environment: null }, "no environment"],
    [{ ...golden, graph: { ...graph, nodes: [null] } }, "no graph"],
    [{ ...golden, graph: { ...graph, nodes: [{ name: "a" }] } }, "node a has no ends"],
    [{ ...golden, before: { ...before, step: null } }, "no profile"],
    [{ ...golden, before: { ...before, timeline: {} } }, "no timeline"],
    [{ ...golden, before: { ...before, timeline: undefined } }, "no timeline"],
    [
      { ...golden, before: { ...before, timeline: { ...before.timeline, totalBytes: [] } } },
      `timeline of 0 nodes for ${graph.nodes.length}`,
    ],
    [{ ...golden, plan: "x" }, "no decisions in the plan"],
    [{ ...golden, plan: undecided }, "no decisions in the plan"],
    [{ ...golden, after: {} }, "no profile of the planned step"],
    ...[undefined, null, "all is well"].map((warnings) => [{ ...golden, warnings }, "no list of warnings"] as const),
    [{ ...golden, warnings: [5, null] }, "warning 1 does not say what about"],
    [{ ...golden, warnings: ["a sentence", null] }, "warning 2 does not say what about"],
    [{ ...golden, warnings: [{ text: "a" }] }, "warning 1 does not say what about"],
    [{ ...golden, warnings: [{ about: "weather", text: "a" }] }, "warning 1 does not say what about"],
    [{ ...golden, warnings: [{ about: "run" }] }, "warning 1 does not say what about"],
  ];
  for (const [run, problem] of unlike) {
    const damaged = file(JSON.stringify(run));
    assert.throws(() => readRun(damaged), { message: `run contradicts itself: ${problem} (${damaged})` });
  }
});

test("saveGraph and loadGraph are inverse but for the values of large tensors", () => {
  const small = parseGraph("graph g(float32[2] x, float32[2] w) => (y) { y = Mul(x, w) }");
  const withData = (name: string, category: "constant" | "parameter", bytes: number): [string, Tensor] => [
    name,
    { name, dtype: "uint8", shape: [bytes], category, data: new Uint8Array(bytes).fill(7) },
  ];
  const large = [
    withData("axes", "constant", 1024),
    withData("table", "constant", 1025),
    withData("weights", "parameter", 8),
  ];
  const graph = { ...small, tensors: new Map([...small.tensors, ...large]) };
  const again = loadGraph(JSON.parse(JSON.stringify(saveGraph(graph))));
  assert.deepEqual(again.nodes, graph.nodes);
  assert.deepEqual(again.tensors.get("x"), graph.tensors.get("x"));
  assert.deepEqual(again.tensors.get("axes"), graph.tensors.get("axes"));
  assert.deepEqual([again.tensors.get("table")?.data, again.tensors.get("weights")?.data], [undefined, undefined]);
});
