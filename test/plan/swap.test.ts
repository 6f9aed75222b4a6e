import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseGraph, printGraph } from "../../src/build/text.js";
import { exportStep } from "../../src/export/export.js";
import { type Graph, prune, tensorOf } from "../../src/graph/graph.js";
import { gradientName, originalName } from "../../src/graph/names.js";
import { bytesOf, valuesOf } from "../../src/graph/values.js";
import { type SavedActivation, savedActivations } from "../../src/memory/activations.js";
import { layout } from "../../src/memory/layout.js";
import { peakBytes, type Storage, storages } from "../../src/memory/liveness.js";
import { readModel } from "../../src/model/read.js";
import { opOf } from "../../src/ops/index.js";
import type { Decision } from "../../src/plan/plan.js";
import { rewrite } from "../../src/plan/rewrite.js";
import { loadGraph, saveGraph } from "../../src/run/run.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { loadWithValues } from "../../src/runtime/load.js";
import { initialValues, randomFrom, seededGraph } from "../../src/step/initial.js";
import { lower } from "../../src/step/lower.js";
import { type TrainingOptions, trainingStep } from "../../src/step/training.js";
import { randomGraph } from "../random-graph.js";

// RANDOM_GRAPHS=300 node --import tsx --test test/swap.test.ts looks further; RANDOM_SEED starts elsewhere
const count = Number(process.env.RANDOM_GRAPHS ?? 20);

const firstSeed = Number(process.env.RANDOM_SEED ?? 1);

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

type Choice = Pick<Decision, "activation" | "action" | "swap">;

/** b is read through a view; d has the size of a, and lives while a is away. */
const small = parseGraph(`graph small(float32[4,8] x, parameter float32[8,8] w) => (loss, y) {
  h = MatMul(x, w)
  a = Relu(h)
  b = Exp(a)
  v = Reshape(b, int64[1]{-1})
  c = Sin(v)
  d = Cos(c)
loss:
  loss = ReduceSum<keepdims=0>(d)
backward:
  dv = Mul(v, loss)
  db = Reshape(dv, int64[2]{4,8})
  da = Mul(db, a)
  y = ReduceSum<keepdims=0>(da)
}`);

const smallSwaps: readonly Choice[] = [
  { activation: "a", action: "swap", swap: { outDone: "c", prefetch: "db" } },
  { activation: "b", action: "swap" },
];

const body = (graph: Graph): string[] => printGraph(graph).split("{\n").at(-1)?.split("\n").slice(0, -2) ?? [];

test("rewrite(graph, swaps) puts the copies where the placement says, at once without one, and makes views anew", () => {
  assert.deepEqual(body(rewrite(small, smallSwaps)), [
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
  assert.deepEqual(rewrite(small, [...smallSwaps].reverse()), rewrite(small, smallSwaps));
});

test("rewrite(graph, mixed): what recomputes from a swapped activation comes after its way back", () => {
  const mixed = body(
    rewrite(small, [
      { activation: "a", action: "swap" },
      { activation: "b", action: "recompute" },
    ]),
  );
  assert.deepEqual(mixed.slice(mixed.indexOf("backward:")), [
    "backward:",
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

test("originalName(name) of each part of a swap is the activation's", () => {
  const names = ["a@swap/out", "a@swap/host", "a@swap/in", "a@swap", "a@swap2", "a@recompute3", "a", "a@swap/way"];
  assert.deepEqual(names.map(originalName), ["a", "a", "a", "a", "a", "a", "a", "a@swap/way"]);
});

test("rewrite(graph, swaps) refuses places that are unknown or contradict the uses, and two decisions", () => {
  const swap = (outDone: string, prefetch: string) => () =>
    rewrite(small, [{ activation: "a", action: "swap", swap: { outDone, prefetch } }]);
  assert.throws(swap("nowhere", "da"), /^Error: unknown node: nowhere \(swap of a\)$/);
  assert.throws(swap("b", "da"), /^Error: swap out of order: last use 2 < 2 < 9 < 9 first use \(a\)$/);
  assert.throws(swap("dv", "c"), /^Error: swap out of order: last use 2 < 7 < 4 < 9 first use \(a\)$/);
  assert.throws(swap("c", "y"), /^Error: swap out of order: /);
  assert.throws(() => rewrite(small, [{ activation: "d", action: "swap" }]), /^Error: unknown activation: d$/);
  const both: Choice[] = [...smallSwaps, { activation: "a", action: "recompute" }];
  assert.throws(() => rewrite(small, both), /^Error: two decisions: a$/);
});

test("a graph with swaps survives text and run.json, host tensors among it", () => {
  const swapped = rewrite(small, smallSwaps);
  const hosts = (graph: Graph): string[] => [...graph.tensors.values()].filter((t) => t.host).map((t) => t.name);
  assert.deepEqual(hosts(swapped), ["a@swap/out", "b@swap/out", "a@swap/host", "b@swap/host"]);
  assert.deepEqual(hosts(parseGraph(printGraph(swapped))).sort(), hosts(swapped).sort());
  assert.equal(printGraph(parseGraph(printGraph(swapped))), printGraph(swapped));
  assert.deepEqual(hosts(loadGraph(JSON.parse(JSON.stringify(saveGraph(swapped))))), hosts(swapped));
});

test("a tensor may be named like what stands around names: on, host, gradient", () => {
  const odd = `graph odd(float32[2] x) => (gradient) {
  host = Relu(x)
backward:
  gradient on = Relu(host)
  gradient on host = mutwo.SwapOut(on)
}
`;
  const graph = parseGraph(odd);
  assert.deepEqual([tensorOf(graph, "on").category, tensorOf(graph, "gradient").category], ["gradient", "temporary"]);
  assert.deepEqual([tensorOf(graph, "on").host, tensorOf(graph, "gradient").host], [undefined, true]);
  assert.equal(printGraph(graph), odd);
});

test("exportStep(graph) refuses swaps", () => {
  const step = rewrite({ ...small, loss: "loss" }, smallSwaps);
  assert.throws(() => exportStep(step), /^Error: a swap cannot be exported: a$/);
});

/** From which rank to which a storage holds something. */
const span = (graph: Graph, storage: Storage): [from: number, to: number] =>
  storage.resident ? [-1, graph.nodes.length] : [storage.start, storage.end];

/** Pairs of storages that lie in the same bytes while both are live, in either memory. */
function overlaps(graph: Graph): string[] {
  const { offsets, hostOffsets } = layout(graph);
  const { all, host } = storages(graph);
  const found: string[] = [];
  for (const [list, places] of [[all, offsets] as const, [host, hostOffsets] as const])
    list.forEach((a, i) => {
      const [from, to] = span(graph, a);
      const start = places.get(a.name) as number;
      for (const z of list.slice(i + 1)) {
        const [first, last] = span(graph, z);
        const at = places.get(z.name) as number;
        if (from <= last && first <= to && start < at + z.bytes && at < start + a.bytes)
          found.push(`${a.name} ${z.name}`);
      }
    });
  return found;
}

test("layout(graph): swapped memory is free from SwapOutWait to SwapIn, host memory from SwapInWait", () => {
  const swapped = rewrite(small, smallSwaps);
  const { of } = storages(swapped);
  const rank = (name: string): number => swapped.nodes.findIndex((node) => node.name === name);
  const life = (name: string): [number, number] => span(swapped, of.get(name)?.storage as Storage);
  // a is written over h
  assert.deepEqual(life("a"), [rank("h"), rank("a@swap/host")]);
  assert.deepEqual(life("a@swap/out"), [rank("a@swap/out"), rank("a@swap")]);
  assert.deepEqual(life("a@swap/in"), [rank("a@swap/in"), rank("da")]);
  assert.equal(of.get("a@swap/host")?.storage, of.get("a@swap/out")?.storage);
  assert.equal(of.get("v@swap")?.storage, of.get("b@swap/in")?.storage);
  const { offsets, hostOffsets, hostBytes: ofBoth } = layout(swapped);
  assert.equal(offsets.has("a@swap/out"), false);
  assert.deepEqual([...hostOffsets.keys()].sort(), ["a@swap/host", "a@swap/out", "b@swap/host", "b@swap/out"]);
  assert.equal(ofBoth, 2 * 128);
  assert.deepEqual(overlaps(swapped), []);

  // the second micro-batch's copies lie where the first one's were
  const hostBytes = (accumulate: number): number => {
    const { graph } = stepOf("mlp.ts.onnx", { loss: "mse", optimizer: "sgd", accumulate });
    const all = [...savedActivations(graph).keys()].map((activation) => ({ activation, action: "swap" as const }));
    return layout(rewrite(graph, all)).hostBytes;
  };
  assert.ok(hostBytes(1) > 0);
  assert.equal(hostBytes(3), hostBytes(1));
});

/** Runs two steps and gives loss, gradients and next states of each; the arena must be as large as predicted. */
async function results(graph: Graph, values: ReadonlyMap<string, Uint8Array>, observe: ReadonlySet<string>) {
  const { step, arenaBytes } = loadWithValues(graph, runtime, values);
  try {
    assert.equal(step.allocatedBytes, arenaBytes);
    return [(await step.run({ observe })).observed, (await step.run({ observe })).observed];
  } finally {
    step.close();
  }
}

const differences = (
  expected: readonly ReadonlyMap<string, Uint8Array>[],
  actual: readonly ReadonlyMap<string, Uint8Array>[],
): string[] =>
  expected.flatMap((values, i) =>
    [...values].flatMap(([name, bytes]) =>
      Buffer.compare(bytes, actual[i]?.get(name) ?? new Uint8Array()) === 0 ? [] : [`${name} in step ${i + 1}`],
    ),
  );

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
  const [made] = await results(swapped, values, observe);
  const [expected] = await results(small, values, new Set(["a", "v", "loss", "y"]));
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

function stepOf(file: string, options: TrainingOptions, dims: Record<string, number> = {}) {
  const step = trainingStep(readModel(`test/fixtures/${file}`, { dims, runtime }).graph, options);
  return lowered(step, 0);
}

function lowered(step: Graph, seed: number) {
  const graph = seededGraph(lower(step, runtime.hasKernel), seed);
  const trained = [...graph.tensors.values()].filter((t) => t.category === "parameter" && t.within);
  const observe = new Set([
    graph.loss as string,
    ...trained.map(({ name }) => gradientName(name)),
    ...graph.state.map((pair) => pair.after),
  ]);
  return { graph, values: initialValues(graph, step, seed), observe };
}

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
    const back = graph.nodes.findIndex((other) => other.name === `${originalName(node.name)}@swap/in`);
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

test(`random graphs: ${count} steps with random mixes of keep, recompute and swap give the same bits`, async () => {
  let [swaps, recomputations, reused] = [0, 0, 0];
  for (let seed = firstSeed; seed < firstSeed + count; seed++) {
    const step = trainingStep(needed(randomGraph(seed).graph), { loss: "mse", optimizer: "adam" });
    const { graph, values, observe } = lowered(step, seed);
    const random = randomFrom(seed);
    const expected = await results(graph, values, observe);
    for (let i = 0; i < 2; i++) {
      const decisions = randomDecisions(graph, random);
      const planned = rewrite(graph, decisions);
      const where = `seed ${seed}: ${JSON.stringify(decisions)}`;
      assert.deepEqual(malformed(planned), [], where);
      assert.deepEqual(overlaps(planned), [], where);
      assert.deepEqual(differences(expected, await results(planned, values, observe)), [], where);
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
    const { graph, values, observe } = stepOf(file, options, dims);
    const expected = await results(graph, values, observe);
    const random = randomFrom(5);
    const all = [...savedActivations(graph).keys()].map((activation) => ({ activation, action: "swap" as const }));
    for (const decisions of [all, randomDecisions(graph, random), randomDecisions(graph, random)]) {
      const planned = rewrite(graph, decisions);
      assert.deepEqual(malformed(planned), []);
      assert.deepEqual(overlaps(planned), []);
      assert.deepEqual(differences(expected, await results(planned, values, observe)), []);
    }
    assert.equal([...savedActivations(rewrite(graph, all)).keys()].length, 0);
  });

test("rewrite(graph, one swap) never raises the device's peak, wherever its copies end and begin", () => {
  const { graph } = stepOf("resnet_bottleneck_dynamic.onnx", { loss: "ce", optimizer: "sgd" }, { batch: 3 });
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
