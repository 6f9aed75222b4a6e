import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseGraph, printGraph } from "../../src/build/text.js";
import { exportStep } from "../../src/export/export.js";
import type { Graph } from "../../src/graph/graph.js";
import { randomFrom } from "../../src/graph/random.js";
import { bytesOf, valuesOf } from "../../src/graph/values.js";
import { savedActivations } from "../../src/memory/activations.js";
import { layout } from "../../src/memory/layout.js";
import { peakBytes } from "../../src/memory/liveness.js";
import { rewrite } from "../../src/plan/rewrite.js";
import { loadGraph, saveGraph } from "../../src/run/run.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { linesOf } from "../lines.js";
import { fixtureStep } from "../problem.js";
import { twoSteps } from "../step.js";
import { small, smallSwaps } from "../swaps.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

test("rewrite(graph, swaps) puts the copies where the placement says, at once without one, and makes views anew", () => {
  assert.deepEqual(linesOf(rewrite(small, smallSwaps)), [
    "  h = MatMul(x, w)",
    "  a = Relu(h)",
    "  b = Exp(a)",
    "  a@swap/out on host = mutwo.SwapOut(a)",
    "  v = Reshape(b, const.int64.5)",
    "  a@swap/host on host = mutwo.SwapOutWait(a@swap/out, a)",
    "  c = Sin(v)",
    "  b@swap/out on host = mutwo.SwapOut(b)",
    "  b@swap/host on host = mutwo.SwapOutWait(b@swap/out, b)",
    "  d = Cos(c)",
    "loss:",
    "  loss = ReduceSum<keepdims=0>(d)",
    "backward:",
    "  activation b@swap/in = mutwo.SwapIn(b@swap/host)",
    "  activation b@swap = mutwo.SwapInWait(b@swap/in, b@swap/host)",
    "  activation v@swap = Reshape(b@swap, const.int64.5)",
    "  dv = Mul(v@swap, loss)",
    "  activation a@swap/in = mutwo.SwapIn(a@swap/host)",
    "  db = Reshape(dv, const.int64.11)",
    "  activation a@swap = mutwo.SwapInWait(a@swap/in, a@swap/host)",
    "  da = Mul(db, a@swap)",
    "  y = ReduceSum<keepdims=0>(da)",
  ]);
});

test("rewrite(graph, mixed): what recomputes from a swapped activation comes after its way back", () => {
  const mixed = rewrite(small, [
    { activation: "a", action: "swap" },
    { activation: "b", action: "recompute" },
  ]);
  assert.deepEqual(linesOf(mixed, "backward"), [
    "  activation a@swap/in = mutwo.SwapIn(a@swap/host)",
    "  activation a@swap = mutwo.SwapInWait(a@swap/in, a@swap/host)",
    "  activation b@recompute = Exp(a@swap)",
    "  activation v@recompute = Reshape(b@recompute, const.int64.5)",
    "  dv = Mul(v@recompute, loss)",
    "  db = Reshape(dv, const.int64.11)",
    "  da = Mul(db, a@swap)",
    "  y = ReduceSum<keepdims=0>(da)",
  ]);
});

test("rewrite(graph, swaps) numbers nodes whose names are taken", () => {
  const taken = parseGraph(`graph g(float32[8] x) => (y) {
  a = Exp(x)
  [a@swap] b = Sin(a)
backward:
  c = Mul(b, b)
  y = Mul(c, a)
}`);
  const { nodes } = rewrite(taken, [{ activation: "a", action: "swap" }]);
  assert.deepEqual(
    nodes.flatMap(({ name, op, outputs }) => (op.startsWith("Swap") ? [[name, outputs[0]]] : [])),
    [
      ["a@swap/out", "a@swap/out"],
      ["a@swap/host", "a@swap/host"],
      ["a@swap/in", "a@swap/in"],
      ["a@swap2", "a@swap"],
    ],
  );
});

test("rewrite(graph, swaps) numbers tensors whose names are taken, views among them", () => {
  const taken = parseGraph(`graph g(float32[4,2] x, float32[8] a@swap/in) => (y) {
  a = Exp(x)
  v = Reshape(a, int64[1]{-1})
  v@swap = Sin(v)
  w = Mul(v@swap, a@swap/in)
backward:
  c = Mul(v, w)
  y = Mul(c, v)
}`);
  assert.deepEqual(linesOf(rewrite(taken, [{ activation: "a", action: "swap" }]), "backward"), [
    "  [a@swap/in] activation a@swap/in2 = mutwo.SwapIn(a@swap/host)",
    "  activation a@swap = mutwo.SwapInWait(a@swap/in2, a@swap/host)",
    "  activation v@swap2 = Reshape(a@swap, const.int64.3)",
    "  c = Mul(v@swap2, w)",
    "  y = Mul(c, v@swap2)",
  ]);
});

test("rewrite(graph, swaps) refuses places that are unknown or contradict the uses", () => {
  const swap = (outDone: string, prefetch: string) => () =>
    rewrite(small, [{ activation: "a", action: "swap", swap: { outDone, prefetch } }]);
  assert.throws(swap("nowhere", "da"), /^Error: unknown node: nowhere \(swap of a\)$/);
  assert.throws(swap("b", "da"), /^Error: swap out of order: last use 2 < 2 < 9 < 9 first use \(a\)$/);
  assert.throws(swap("dv", "c"), /^Error: swap out of order: last use 2 < 7 < 4 < 9 first use \(a\)$/);
  assert.throws(swap("c", "y"), /^Error: swap out of order: /);
});

test("a graph with swaps survives text and run.json, host tensors among it", () => {
  const swapped = rewrite(small, smallSwaps);
  const hosts = (graph: Graph): string[] => [...graph.tensors.values()].filter((t) => t.host).map((t) => t.name);
  assert.deepEqual(hosts(swapped), ["a@swap/out", "b@swap/out", "a@swap/host", "b@swap/host"]);
  assert.deepEqual(hosts(parseGraph(printGraph(swapped))).sort(), hosts(swapped).sort());
  assert.equal(printGraph(parseGraph(printGraph(swapped))), printGraph(swapped));
  assert.deepEqual(hosts(loadGraph(JSON.parse(JSON.stringify(saveGraph(swapped))))), hosts(swapped));
});

test("exportStep(graph) refuses swaps", () => {
  const step = rewrite({ ...small, loss: "loss" }, smallSwaps);
  assert.throws(() => exportStep(step), /^Error: a swap cannot be exported: a \(plan again with --no-swap\)$/);
});

test("what others write into a swapped tensor's memory does not reach its readers", async () => {
  const x = Array.from({ length: 32 }, (_, i) => Math.sin(i));
  const w = Array.from({ length: 64 }, (_, i) => Math.cos(3 * i) / 4);
  const values = new Map([
    ["x", bytesOf("float32", x)],
    ["w", bytesOf("float32", w)],
  ]);
  const swapped = rewrite(small, smallSwaps);
  const { offsets } = layout(swapped);
  // c is made where a was, after a has left
  const meanwhile = ["c", "dv"].filter((name) => offsets.get(name) === offsets.get("a"));
  assert.ok(meanwhile.length > 0, JSON.stringify([...offsets]));
  const observe = new Set(["a@swap", "v@swap", "loss", "y"]);
  const [made] = await twoSteps(runtime, swapped, values, observe);
  const [expected] = await twoSteps(runtime, small, values, new Set(["a", "v", "loss", "y"]));
  const numbers = (from: ReadonlyMap<string, Uint8Array> | undefined, name: string): number[] =>
    valuesOf("float32", from?.get(name) as Uint8Array);
  for (const [now, then] of [
    ["a@swap", "a"],
    ["v@swap", "v"],
    ["loss", "loss"],
    ["y", "y"],
  ] as const)
    assert.deepEqual(numbers(made, now), numbers(expected, then), then);
  assert.notEqual(numbers(made, "y")[0], 0);
});

test("rewrite(graph, one swap) never raises the device's peak, wherever its copies end and begin", () => {
  const options = { loss: "ce", optimizer: "sgd" };
  const graph = fixtureStep(runtime, "resnet_bottleneck_dynamic.onnx", options, { batch: 3 });
  const baseline = peakBytes(graph);
  const random = randomFrom(1);
  let lower = 0;
  for (const { name, lastForwardAccess, firstBackwardAccess } of savedActivations(graph).values()) {
    const between = firstBackwardAccess - lastForwardAccess;
    const [one, two] = [random(), random()].map((share) => lastForwardAccess + 1 + Math.floor(share * between));
    const at = (rank: number): string => graph.nodes[rank]?.name as string;
    const swap = { outDone: at(Math.min(one!, two!)), prefetch: at(Math.max(one!, two!)) };
    for (const choice of [{}, { swap }]) {
      const peak = peakBytes(rewrite(graph, [{ activation: name, action: "swap", ...choice }]));
      assert.ok(peak <= baseline, name);
      if (peak < baseline) lower++;
    }
  }
  assert.ok(lower > 0);
});
