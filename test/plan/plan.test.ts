import assert from "node:assert/strict";
import { after, test } from "node:test";
import { type Graph, tensorBytes } from "../../src/graph/graph.js";
import { activationRows } from "../../src/memory/activation-rows.js";
import { savedActivations } from "../../src/memory/activations.js";
import { layout } from "../../src/memory/layout.js";
import { peakBytes, storages, timeline } from "../../src/memory/liveness.js";
import { readModel } from "../../src/model/read.js";
import { callOf } from "../../src/ops/call.js";
import { opOf } from "../../src/ops/index.js";
import { planGraph } from "../../src/plan/planners/index.js";
import { better, type Candidate, choose } from "../../src/plan/planners/mutwo.js";
import { rewrite } from "../../src/plan/rewrite.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { lower } from "../../src/step/lower.js";
import { trainingStep } from "../../src/step/training.js";

const runtime = openCpu();

after(() => runtime.close());

function stepOf(file: string, dims: Record<string, number>, loss: string, optimizer = "adam"): Graph {
  const step = trainingStep(readModel(`test/fixtures/${file}`, { dims, runtime }).graph, { loss, optimizer });
  return lower(step, (node, tensors) => runtime.hasKernel(node, tensors));
}

/** Times that follow from flops and bytes alone, so that plans in tests do not depend on the machine. */
const modelledMs = (graph: Graph): number[] =>
  graph.nodes.map((node) => {
    const op = opOf(node);
    if (op.view) return 0;
    const outputs = node.outputs.flatMap((name) => graph.tensors.get(name) ?? []);
    const bytes = outputs.reduce((sum, tensor) => sum + tensorBytes(tensor), 0);
    return 1e-3 + op.flops(callOf(node, graph.tensors), outputs) / 1e7 + bytes / 1e7;
  });

const resnet = stepOf("resnet_bottleneck_dynamic.onnx", { batch: 64 }, "ce");

const mlp = stepOf("mlp.ts.onnx", {}, "mse");

const resnetMs = modelledMs(resnet);

const rows = activationRows(resnet, resnetMs, { swapMs: (bytes) => bytes / 1e6, swapMeasured: false });

const plan = (budgetBytes: number | null, planner = "mutwo") =>
  planGraph({ graph: resnet, nodeMs: resnetMs, rows, budgetBytes, planner });

/** Live bytes at each node by an obvious count: every storage is asked at every node. */
function slowPeak(graph: Graph): number {
  const { all } = storages(graph);
  return Math.max(
    ...graph.nodes.map((_, rank) =>
      all.reduce((sum, s) => sum + (s.resident || (s.start <= rank && rank <= s.end) ? s.bytes : 0), 0),
    ),
  );
}

test("timeline(graph) and peakBytes(graph) equal a slow recount", () => {
  for (const graph of [mlp, resnet]) {
    assert.equal(timeline(graph).peakBytes, slowPeak(graph));
    assert.equal(peakBytes(graph), slowPeak(graph));
  }
});

test("storages(graph): a view costs nothing, an update writes into its state", () => {
  const { of } = storages(resnet);
  for (const { before, after: next } of resnet.state) assert.equal(of.get(next)?.storage, of.get(before)?.storage);
  const views = resnet.nodes.filter((node) => opOf(node).view);
  assert.ok(views.length > 0);
  for (const node of views)
    assert.equal(of.get(node.outputs[0] as string)?.storage, of.get(node.inputs[0] as string)?.storage);
});

/** Pairs of tensors that lie in the same bytes while both are live, though they do not share a storage. */
function overlaps(graph: Graph): string[] {
  const { offsets } = layout(graph);
  const { all } = storages(graph);
  const live = all.map((s) => ({
    ...s,
    at: offsets.get(s.name) as number,
    from: s.resident ? -1 : s.start,
    to: s.resident ? graph.nodes.length : s.end,
  }));
  const found: string[] = [];
  live.forEach((a, i) => {
    for (const z of live.slice(i + 1))
      if (a.from <= z.to && z.from <= a.to && a.at < z.at + z.bytes && z.at < a.at + a.bytes)
        found.push(`${a.name} ${z.name}`);
  });
  return found;
}

test("layout(graph) never lets two live storages overlap, and wastes little", () => {
  for (const graph of [mlp, resnet, rewrite(resnet, plan(null, "recomputeAll").decisions)]) {
    assert.deepEqual(overlaps(graph), []);
    assert.ok(layout(graph).arenaBytes >= peakBytes(graph));
  }
  assert.ok(layout(resnet).arenaBytes <= 1.02 * peakBytes(resnet));
});

test("layout(graph) keeps every tensor outside the flat buffers on a cache line", () => {
  const { offsets } = layout(resnet);
  for (const { name, within } of storages(resnet).all)
    if (!within) assert.equal((offsets.get(name) as number) % 64, 0, name);
});

test("rewrite(graph, []) is the graph; copies are named, made before use, and original uses stay before them", () => {
  assert.equal(rewrite(resnet, []), resnet);
  const all = plan(null, "recomputeAll").decisions;
  const planned = rewrite(resnet, all);
  assert.ok(planned.nodes.some((node) => node.name.endsWith("@recompute")));
  const made = new Set(
    [...planned.tensors.keys()].filter((name) => !planned.nodes.some((n) => n.outputs.includes(name))),
  );
  for (const node of planned.nodes) {
    for (const name of node.inputs)
      assert.ok(!name || made.has(name), `${name} is read before it is made (${node.name})`);
    for (const name of node.outputs) made.add(name);
  }
  assert.deepEqual(rewrite(resnet, [...all].reverse()).nodes, planned.nodes);
});

test("rewrite(graph) refuses what cannot be recomputed", () => {
  assert.throws(() => rewrite(resnet, [{ activation: "nothing", action: "recompute" }]), /unknown activation: nothing/);
  const [activation = ""] = savedActivations(resnet).keys();
  const [swap, recompute] = (["swap", "recompute"] as const).map((action) => ({ activation, action }));
  assert.throws(() => rewrite(resnet, [swap!, recompute!]), /two decisions: /);
});

test("activationRows: recompute times are not zero, sources are saved activations, the producer makes the tensor", () => {
  const names = new Set(rows.map((row) => row.name));
  for (const row of rows) {
    assert.ok(row.recomputeMs > 0, row.name);
    assert.ok((row.recomputeRatio ?? 0) > 0, row.name);
    assert.ok(row.recomputeBytes >= row.memoryBytes, row.name);
    for (const source of row.recomputeSources) assert.ok(names.has(source), source);
    const producer = resnet.nodes.find((node) => node.name === row.producer);
    assert.ok(producer?.outputs.includes(row.name), row.name);
    assert.ok(row.createdRank <= row.lastForwardAccess && row.lastForwardAccess < row.firstBackwardAccess);
  }
});

test("planGraph: a plan that says it fits does; the peak never rises when the budget falls (100 budgets)", () => {
  const baseline = layout(resnet).arenaBytes;
  let last = Number.POSITIVE_INFINITY;
  let feasible = 0;
  for (let share = 100; share >= 1; share--) {
    const budget = Math.floor((baseline * share) / 100);
    const answer = plan(budget);
    assert.ok(answer.peakBytes <= last, `${share} %`);
    last = answer.peakBytes;
    assert.equal(layout(rewrite(resnet, answer.decisions)).arenaBytes, answer.peakBytes);
    if (answer.feasible) {
      feasible++;
      assert.ok(answer.peakBytes <= budget);
    } else {
      assert.equal(answer.peakBytes, answer.minimumPeakBytes);
      assert.ok(answer.minimumPeakBytes > budget);
      assert.ok(answer.obstacle?.node);
    }
  }
  assert.ok(feasible > 20 && feasible < 100, `${feasible} feasible`);
});

test("planGraph: each decision lowers the simulated peak or is followed by one that does, and says why", () => {
  const { decisions, addedMs } = plan(Math.floor(layout(resnet).arenaBytes * 0.8));
  assert.ok(decisions.length > 0);
  const sum = decisions.reduce((total, decision) => total + decision.addedMs, 0);
  assert.ok(Math.abs(sum - addedMs) < 1e-9);
  for (const { why } of decisions)
    assert.match(why, /idle for .* across the peak at .*: .* are free for .* of recomputation/);
  assert.ok((decisions.at(-1)?.peakBytesAfter as number) < peakBytes(resnet));
});

test("planGraph refuses unknown planners and a missing budget", () => {
  assert.throws(() => plan(1e9, "magic"), /unknown planner: magic \(one of mutwo, keepAll, recomputeAll, swapAll\)/);
  assert.throws(() => plan(null), /planner needs a budget: mutwo/);
  assert.deepEqual(plan(null, "keepAll").decisions, []);
});

/** The chain of mutwo.md §14: A1..A4, each recomputed from the one before. */
const chain = (): Map<string, Candidate> =>
  new Map(
    [5, 4, 3, 2].map((ms, i): [string, Candidate] => [
      `A${i + 1}`,
      {
        row: { name: `A${i + 1}`, memoryBytes: 8, createdRank: 2 * i + 1 },
        sources: new Set(i ? [`A${i}`] : []),
        recomputeMs: ms,
        totalMs: ms,
        ratio: 8 / ms,
      },
    ]),
  );

test("choose(…) reproduces the golden vectors of μ-TWO's Algorithms E and F, printed and mended", () => {
  const pick = (variant: "printed" | "mended", steps: number) => {
    const remaining = chain();
    const taken: Candidate[] = [];
    for (let i = 0; i < steps; i++) {
      const best = [...remaining.values()].reduce((a, z) => (better(z, a) ? z : a));
      remaining.delete(best.row.name);
      taken.push(best);
      choose(best, taken, remaining.values(), variant);
    }
    return { order: taken.map(({ row }) => row.name), total: (name: string) => remaining.get(name)?.totalMs };
  };
  assert.deepEqual(pick("printed", 4).order, ["A4", "A3", "A1", "A2"]);
  assert.equal(pick("printed", 1).total("A3"), 3);
  assert.equal(pick("mended", 1).total("A3"), 6);
  assert.equal(pick("printed", 2).total("A2"), 8);
  assert.equal(pick("printed", 3).total("A2"), 27);
});
