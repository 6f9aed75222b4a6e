import assert from "node:assert/strict";
import { after, test } from "node:test";
import { type Graph, type Node, producers, prune, tensorOf } from "../../src/graph/graph.js";
import { placeOf } from "../../src/graph/lanes.js";
import { gradientName, originalName, swapName } from "../../src/graph/names.js";
import { randomFrom } from "../../src/graph/random.js";
import { type SavedActivation, savedActivations } from "../../src/memory/activations.js";
import { layout } from "../../src/memory/layout.js";
import { storages } from "../../src/memory/storages.js";
import { readModel } from "../../src/model/read.js";
import { opOf } from "../../src/ops/index.js";
import { rewrite } from "../../src/plan/rewrite.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { initialValues } from "../../src/step/initial.js";
import { stepFor } from "../../src/step/step.js";
import type { TrainingOptions } from "../../src/step/training.js";
import { at } from "../at.js";
import { drawnDecisions, drawnLanes } from "../lanes.js";
import { overlaps } from "../overlaps.js";
import { randomGraph } from "../random-graph.js";
import { twoSteps } from "../step.js";
import { type Choice, small, smallSwaps } from "../swaps.js";

// RANDOM_GRAPHS=300 npm test -- test/plan/rewrite.test.ts looks further; RANDOM_SEED starts elsewhere
const count = Number(process.env.RANDOM_GRAPHS ?? 20);

const firstSeed = Number(process.env.RANDOM_SEED ?? 1);

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

/** A step with its first values, and what must be the same however it is rewritten. */
function observed(forward: Graph, options: TrainingOptions, seed: number) {
  const { step, baseline: graph } = stepFor(runtime, forward, options, seed);
  const trained = [...graph.tensors.values()].filter((t) => t.category === "parameter" && t.within);
  const observe = new Set([
    graph.loss as string,
    ...trained.map(({ name }) => gradientName(name)),
    ...graph.state.map((pair) => pair.after),
  ]);
  return { graph, values: initialValues(graph, step, seed), observe };
}

const dropout = (): Graph => readModel(at("fixtures/dropout_block.onnx"), { dims: { batch: 4 }, runtime }).graph;

const differences = (
  expected: readonly ReadonlyMap<string, Uint8Array>[],
  actual: readonly ReadonlyMap<string, Uint8Array>[],
): string[] =>
  expected.flatMap((values, i) =>
    [...values].flatMap(([name, bytes]) =>
      Buffer.compare(bytes, actual[i]?.get(name) ?? new Uint8Array()) === 0 ? [] : [`${name} in step ${i + 1}`],
    ),
  );

/** Keep, recompute or swap for each activation, and anything allowed for where the copies end and begin. */
function randomDecisions(graph: Graph, random: () => number): Choice[] {
  const whole = (low: number, high: number): number => low + Math.floor(random() * (high - low + 1));
  const recomputed: Choice[] = [];
  const swapped: string[] = [];
  for (const { name, fixed } of savedActivations(graph).values()) {
    const draw = whole(0, 3);
    if (draw === 1 && !fixed) recomputed.push({ activation: name, action: "recompute" });
    else if (draw > 1) swapped.push(name);
  }
  // ranks of the graph that recomputes: that is where swaps are put
  const recomputing = rewrite(graph, recomputed);
  const nameAt = (rank: number): string => recomputing.nodes[rank]?.name as string;
  const swaps = swapped.map((activation): Choice => {
    const uses = savedActivations(recomputing).get(activation) as SavedActivation;
    const outDone = whole(uses.lastForwardAccess + 1, uses.firstBackwardAccess);
    const prefetch = whole(outDone, uses.firstBackwardAccess);
    const swap = { outDone: nameAt(outDone), prefetch: nameAt(prefetch) };
    return { activation, action: "swap", ...(whole(0, 3) ? { swap } : {}) };
  });
  return [...recomputed, ...swaps].sort(() => random() - 0.5);
}

/** What is wrong with a rewritten graph as a graph: reads before writes, two nodes or tensors of one name. */
function malformed(graph: Graph): string[] {
  const produced = new Set(graph.nodes.flatMap((node) => node.outputs));
  const made = new Set([...graph.tensors.keys()].filter((name) => !produced.has(name)));
  const names = new Set<string>();
  const problems: string[] = [];
  for (const node of graph.nodes) {
    if (names.has(node.name)) problems.push(`two nodes ${node.name}`);
    names.add(node.name);
    for (const input of node.inputs) {
      if (!input) continue;
      if (!made.has(input)) problems.push(`${node.name} reads ${input} before it is made`);
      if (tensorOf(graph, input).host && !opOf(node).swap) problems.push(`${node.name} reads host tensor ${input}`);
    }
    for (const output of node.outputs) {
      if (output && made.has(output)) problems.push(`${output} is made twice`);
      made.add(output);
    }
  }
  return problems;
}

/** How many tensors are made in the memory of a swapped one while it is away. */
function reuses(graph: Graph): number {
  const { offsets } = layout(graph);
  const { all, of } = storages(graph);
  return graph.nodes.filter((node, rank) => {
    if (opOf(node).swap !== "outWait") return false;
    const place = of.get(node.inputs[1] as string) ?? assert.fail(`no storage: ${node.inputs[1]}`);
    const { bytes, name } = place.storage;
    const at = offsets.get(name) as number;
    const back = graph.nodes.findIndex((other) => other.name === swapName(originalName(node.name), "in"));
    return all.some((other) => {
      const start = offsets.get(other.name) as number;
      return other.start > rank && other.start < back && start < at + bytes && at < start + other.bytes;
    });
  }).length;
}

/** The forward graph without what its output does not need. */
function needed(graph: Graph): Graph {
  const used = prune({ ...graph, state: [] });
  return prune({ ...graph, state: graph.state.filter(({ before }) => used.tensors.has(before)) });
}

test("rewrite(graph, []) is the graph, and so is one that keeps everything", () => {
  assert.equal(rewrite(small, []), small);
  assert.equal(rewrite(small, [{ activation: "a", action: "keep" }]), small);
});

test("rewrite(graph, decisions) does not depend on their order", () => {
  const decisions: readonly Choice[] = [
    { activation: "a", action: "swap" },
    { activation: "b", action: "recompute" },
  ];
  assert.deepEqual(rewrite(small, [...decisions].reverse()), rewrite(small, decisions));
  assert.deepEqual(rewrite(small, [...smallSwaps].reverse()), rewrite(small, smallSwaps));
});

test("rewrite(graph) of lanes: what is added is in the lane of what it copies, and in the stage of where it stands", () => {
  for (let seed = 0; seed < 10; seed++) {
    const forward = randomGraph(seed).graph;
    const { baseline } = stepFor(runtime, forward, { loss: "mse", optimizer: "sgd" }, seed);
    const graph = drawnLanes(baseline, seed);
    const planned = rewrite(graph, drawnDecisions(graph, seed));
    const places = new Map(graph.nodes.map((node) => [node.name, placeOf(node)]));
    const made = producers(graph);
    let stage = 0;
    for (const node of planned.nodes) {
      const here = placeOf(node);
      assert.ok(here.stage >= stage, `seed ${seed}: ${node.name}`);
      stage = here.stage;
      const known = places.get(node.name);
      if (known) {
        assert.deepEqual(here, known, `seed ${seed}: ${node.name}`);
        continue;
      }
      const copied = graph.nodes[made.get(originalName(node.outputs.find(Boolean) as string)) as number];
      assert.equal(here.lane, placeOf(copied as Node).lane, `seed ${seed}: ${node.name}`);
    }
  }
});

test("rewrite(graph) refuses what is unknown, decided on twice, or cannot be recomputed", () => {
  const choose =
    (...decisions: readonly Choice[]) =>
    () =>
      rewrite(small, decisions);
  assert.throws(choose({ activation: "nothing", action: "recompute" }), /^Error: unknown activation: nothing$/);
  assert.throws(choose({ activation: "d", action: "swap" }), /^Error: unknown activation: d$/);
  assert.throws(choose(...smallSwaps, { activation: "a", action: "recompute" }), /^Error: two decisions: a$/);
  const { graph } = observed(dropout(), { loss: "mse", optimizer: "sgd" }, 0);
  const fixed = [...savedActivations(graph).values()].find((activation) => activation.fixed);
  const { name: activation } = fixed ?? assert.fail("nothing is fixed");
  assert.throws(
    () => rewrite(graph, [{ activation, action: "recompute" }]),
    /^Error: cannot recompute .*: random numbers: /,
  );
});

test(`random graphs: ${count} steps with random mixes of keep, recompute and swap give the same bits`, async () => {
  let [swaps, recomputations, reused] = [0, 0, 0];
  for (let seed = firstSeed; seed < firstSeed + count; seed++) {
    const forward = needed(randomGraph(seed).graph);
    const { graph, values, observe } = observed(forward, { loss: "mse", optimizer: "adam" }, seed);
    const random = randomFrom(seed);
    const expected = await twoSteps(runtime, graph, values, observe);
    for (let i = 0; i < 2; i++) {
      const decisions = randomDecisions(graph, random);
      const planned = rewrite(graph, decisions);
      const where = `seed ${seed}: ${JSON.stringify(decisions)}`;
      assert.deepEqual(malformed(planned), [], where);
      assert.deepEqual(overlaps(planned), [], where);
      assert.deepEqual(differences(expected, await twoSteps(runtime, planned, values, observe)), [], where);
      swaps += decisions.filter(({ action }) => action === "swap").length;
      recomputations += decisions.filter(({ action }) => action === "recompute").length;
      reused += reuses(planned);
    }
  }
  assert.ok(swaps > 2 * count && recomputations > count && reused > count, `${swaps} ${recomputations} ${reused}`);
});

const fixtures: readonly (readonly [file: string, options: TrainingOptions, dims?: Record<string, number>])[] = [
  ["resnet_bottleneck_dynamic.onnx", { loss: "ce", optimizer: "sgd:lr=0.1" }, { batch: 3 }],
  ["gpt2_tiny.dynamo.onnx", { loss: "ce", optimizer: "adam" }],
  ["bert_tiny.ts.onnx", { loss: "ce", optimizer: "adamw" }],
  ["dropout_block.onnx", { loss: "mse", optimizer: "sgd" }, { batch: 4 }],
  ["mlp.ts.onnx", { loss: "mse", optimizer: "adam", accumulate: 2 }],
];

for (const [file, options, dims] of fixtures)
  test(`${file}: random mixes of keep, recompute and swap, and all swapped, give the same bits`, async () => {
    const forward = readModel(at("fixtures", file), { dims: dims ?? {}, runtime }).graph;
    const { graph, values, observe } = observed(forward, options, 0);
    const expected = await twoSteps(runtime, graph, values, observe);
    const random = randomFrom(5);
    const all = [...savedActivations(graph).keys()].map((activation) => ({ activation, action: "swap" as const }));
    for (const decisions of [all, randomDecisions(graph, random), randomDecisions(graph, random)]) {
      const planned = rewrite(graph, decisions);
      assert.deepEqual(malformed(planned), []);
      assert.deepEqual(overlaps(planned), []);
      assert.deepEqual(differences(expected, await twoSteps(runtime, planned, values, observe)), []);
    }
    assert.equal([...savedActivations(rewrite(graph, all)).keys()].length, 0);
  });
