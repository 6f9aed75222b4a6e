import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { tensorOf } from "../../src/graph/graph.js";
import { randomFrom } from "../../src/graph/random.js";
import { savedActivations } from "../../src/memory/activations.js";
import { idlePieces, layout, overlaid } from "../../src/memory/layout.js";
import { peakBytes } from "../../src/memory/liveness.js";
import { type Storage, storages } from "../../src/memory/storages.js";
import type { Decision } from "../../src/plan/plan.js";
import { planGraph } from "../../src/plan/planners/index.js";
import { rewrite } from "../../src/plan/rewrite.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { overlaps, span } from "../overlaps.js";
import { fixtureStep, resnetProblem } from "../problem.js";
import { small, smallSwaps } from "../swaps.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

const problem = resnetProblem(runtime);

const resnet = problem.graph;

test("layout(graph) never lets two live storages overlap, and wastes little", () => {
  const mlp = fixtureStep(runtime, "mlp.ts.onnx", { loss: "mse", optimizer: "adam" });
  const recomputing = rewrite(resnet, planGraph({ ...problem, planner: "recomputeAll" }).decisions);
  for (const graph of [mlp, resnet, recomputing]) {
    assert.deepEqual(overlaps(graph), []);
    assert.ok(layout(graph).arenaBytes >= peakBytes(graph));
  }
  assert.ok(layout(resnet).arenaBytes <= 1.002 * peakBytes(resnet));
});

test("layout(graph) of random plans: no overlaps, next to no waste, the same places each time", () => {
  const random = randomFrom(5);
  const saved = [...savedActivations(resnet).entries()];
  for (let i = 0; i < 5; i++) {
    const share = random();
    const decisions = saved.flatMap(([activation, { fixed }]): Pick<Decision, "activation" | "action" | "held">[] => {
      if (random() >= share) return [];
      const drawn = random();
      if (fixed !== null || drawn < 0.3) return [{ activation, action: "swap" }];
      return [{ activation, action: "recompute", ...(drawn < 0.6 ? { held: true } : {}) }];
    });
    const planned = rewrite(resnet, decisions);
    assert.deepEqual(overlaps(planned), [], `plan ${i}`);
    const { arenaBytes, offsets } = layout(planned);
    const waste = arenaBytes / peakBytes(planned) - 1;
    assert.ok(waste >= 0 && waste <= 0.005, `plan ${i} wastes ${waste}`);
    assert.deepEqual(layout(rewrite(resnet, decisions)).offsets, offsets, `plan ${i}`);
  }
});

test("layout(graph) keeps every tensor outside the flat buffers on a cache line", () => {
  const { offsets } = layout(resnet);
  for (const { name, within } of storages(resnet).all)
    if (!within) assert.equal((offsets.get(name) as number) % 64, 0, name);
});

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
    const graph = fixtureStep(runtime, "mlp.ts.onnx", { loss: "mse", optimizer: "sgd", accumulate });
    const all = [...savedActivations(graph).keys()].map((activation) => ({ activation, action: "swap" as const }));
    return layout(rewrite(graph, all)).hostBytes;
  };
  assert.ok(hostBytes(1) > 0);
  assert.equal(hostBytes(3), hostBytes(1));
});

test("idlePieces(graph, layout) are the largest pieces in which nothing lives while a node runs", () => {
  const graph = parseGraph(`graph g(float32[64] x) => (c) {
  a = Concat<axis=0>(x, x, x, x, x, x, x, x)
  b = ReduceSum<keepdims=0>(a)
  c = Exp(b)
}`);
  const places = layout(graph);
  // x takes 256 bytes, a 2048, b 64; pieces start on multiples of 512
  assert.deepEqual([places.arenaBytes, places.offsets.get("a"), places.offsets.get("b")], [2368, 256, 2304]);
  assert.deepEqual(idlePieces(graph, places), [
    { offset: 0, bytes: 0 },
    { offset: 0, bytes: 0 },
    { offset: 512, bytes: 1792 },
  ]);
});

test("overlaid(graph, layout) puts swapped floats one over the other, and what may be an index in a place of its own", () => {
  const graph = parseGraph(`graph(float32[64] a, float32[128] b, int64[32] i, float32[64] y) => (y2) { y2 = Exp(y) }`);
  const outside = (name: string) => [name, { ...tensorOf(graph, name), host: true }] as const;
  const swapped = { ...graph, tensors: new Map([...graph.tensors, outside("a"), outside("b"), outside("i")]) };
  const hostOffsets = new Map([
    ["a", 0],
    ["b", 256],
    ["i", 768],
  ]);
  const whole = { ...layout(graph), hostBytes: 1024, hostOffsets };
  const places = overlaid(swapped, whole);
  assert.deepEqual([...places.hostOffsets].sort(), [
    ["a", 256],
    ["b", 256],
    ["i", 0],
  ]);
  assert.equal(places.hostBytes, 256 + 512);
  assert.deepEqual([...(places.overlaid ?? [])], ["a", "b"]);
  assert.deepEqual([places.arenaBytes, places.offsets], [whole.arenaBytes, whole.offsets]);
});
