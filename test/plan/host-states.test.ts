import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseGraph, printGraph } from "../../src/build/text.js";
import type { Graph } from "../../src/graph/graph.js";
import { savedActivations } from "../../src/memory/activations.js";
import { homes } from "../../src/memory/homes.js";
import { layout } from "../../src/memory/layout.js";
import { peakBytes } from "../../src/memory/liveness.js";
import { stateUses } from "../../src/memory/state-uses.js";
import type { StatePlacement } from "../../src/plan/plan.js";
import { rewrite } from "../../src/plan/rewrite.js";
import { sliceUpdates } from "../../src/plan/sliced-update.js";
import { loadGraph, saveGraph } from "../../src/run/run.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { loadWithValues } from "../../src/runtime/load.js";
import { initialValues } from "../../src/step/initial.js";
import { together } from "../../src/step/together.js";
import { linesOf } from "../lines.js";
import { overlaps } from "../overlaps.js";
import { fixtureStep } from "../problem.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

/** A parameter with a state of the optimizer, and one that is not trained. */
const small =
  parseGraph(`graph g(float32[8] x, parameter float32[8] p, parameter float32[8] f, optimizer state float32[8] v) => (loss) {
  a = Mul(x, p)
  b = Mul(a, f)
loss:
  loss = ReduceSum<keepdims=0>(b)
backward:
  d = Mul(f, x)
update:
  optimizer state v.next = Add(v, d)
  parameter p.next = Sub(p, v.next)
  state v -> v.next
  state p -> p.next
}`);

test("hostStates(graph, states) puts the copies where the placement says, at the first and after the last use without one", () => {
  const placed = rewrite(
    small,
    [],
    [{ state: "v", prefetch: "b", outDone: null }, { state: "f" }, { state: "p", outDone: null }],
  );
  assert.deepEqual(linesOf(placed), [
    "  parameter p@swap/in = mutwo.SwapIn(p@swap/host)",
    "  [p@swap] parameter p = mutwo.SwapInWait(p@swap/in, p@swap/host)",
    "  a = Mul(x, p)",
    "  parameter f@swap/in = mutwo.SwapIn(f@swap/host)",
    "  optimizer state v@swap/in = mutwo.SwapIn(v@swap/host)",
    "  [f@swap] parameter f = mutwo.SwapInWait(f@swap/in, f@swap/host)",
    "  b = Mul(a, f)",
    "loss:",
    "  loss = ReduceSum<keepdims=0>(b)",
    "backward:",
    "  d = Mul(f, x)",
    "update:",
    "  [v@swap] optimizer state v = mutwo.SwapInWait(v@swap/in, v@swap/host)",
    "  optimizer state v.next = Add(v, d)",
    "  parameter p.next = Sub(p, v.next)",
    "  optimizer state v@swap/out on host = mutwo.SwapOut(v@ahead)",
    "  parameter p@swap/out on host = mutwo.SwapOut(p@ahead)",
    "  [v@swap/host] optimizer state v@swap/host.next on host = mutwo.SwapOutWait(v@swap/out, v@ahead)",
    "  [p@swap/host] parameter p@swap/host.next on host = mutwo.SwapOutWait(p@swap/out, p@ahead)",
    "  state v -> v.next",
    "  state p -> p.next",
    "  state v@swap/host -> v@swap/host.next",
    "  state p@swap/host -> p@swap/host.next",
  ]);
});

test("what a step has on the host between uses survives text and run.json", () => {
  const placed = rewrite(small, [], [{ state: "p" }, { state: "v" }]);
  const expected = [...homes(placed)];
  assert.deepEqual(expected, [
    ["p", "p@swap/host"],
    ["v", "v@swap/host"],
  ]);
  assert.equal(printGraph(parseGraph(printGraph(placed))), printGraph(placed));
  assert.deepEqual([...homes(parseGraph(printGraph(placed)))], expected);
  assert.deepEqual([...homes(loadGraph(JSON.parse(JSON.stringify(saveGraph(placed)))))], expected);
});

test("hostStates(graph, states) refuses what is no state, two decisions, and places that contradict the uses", () => {
  const hosted =
    (...states: StatePlacement[]) =>
    () =>
      rewrite(small, [], states);
  for (const state of ["x", "a", "nothing", "v.next"])
    assert.throws(hosted({ state }), new RegExp(`^Error: no state that can leave: ${state}$`));
  assert.throws(hosted({ state: "v" }, { state: "v" }), /^Error: two decisions: v$/);
  assert.throws(hosted({ state: "v", prefetch: "nowhere" }), /^Error: unknown node: nowhere \(state v\)$/);
  assert.throws(hosted({ state: "p", prefetch: "b" }), /^Error: copies of a state out of order: 1 < 0 < 5 < 6 \(p\)$/);
  assert.throws(hosted({ state: "f", outDone: "b" }), /^Error: copies of a state out of order: 1 < 1 < 3 < 1 \(f\)$/);
  const handedOut = { ...small, outputs: ["loss", "p.next"] };
  assert.throws(() => rewrite(handedOut, [], [{ state: "p" }]), /^Error: no state that can leave: p$/);
});

/** All that some steps observe and leave, from seeded values. */
async function traceOf(graph: Graph, own: Graph): Promise<Map<string, string>> {
  const values = initialValues(own, own, 1);
  const { step, arenaBytes } = loadWithValues(graph, runtime, values);
  const observe = new Set([own.loss as string, ...own.state.map(({ after }) => after)]);
  const trace = new Map<string, string>();
  const put = (name: string, bytes: Uint8Array): void => void trace.set(name, Buffer.from(bytes).toString("base64"));
  try {
    assert.equal(step.allocatedBytes, arenaBytes);
    for (let i = 1; i <= 3; i++) {
      const { observed } = await step.run({ observe });
      for (const [name, bytes] of observed) put(`${name} in step ${i}`, bytes);
      for (const name of values.keys()) put(`${name} after step ${i}`, step.read(name));
    }
  } finally {
    step.close();
  }
  return trace;
}

const optimizers = [
  ["mlp.ts.onnx", "adam", {}],
  ["resnet_bottleneck_dynamic.onnx", "sgd:momentum=0.9", { batch: 2 }],
  ["bert_tiny.ts.onnx", "adamw", {}],
  ["mlp.ts.onnx", "sgd:momentum=0", {}],
] as const;

for (const [file, optimizer, dims] of optimizers)
  test(`${file} with ${optimizer}: states on the host change no bit, and lie nowhere else's`, async () => {
    const graph = fixtureStep(runtime, file, { loss: "ce", optimizer }, dims);
    const states = [...stateUses(graph).keys()];
    const expected = await traceOf(graph, graph);
    const nodeOf = (rank: number): string => graph.nodes[rank]?.name as string;
    const placements: StatePlacement[][] = [
      states.filter((name) => graph.tensors.get(name)?.category === "optimizer state").map((state) => ({ state })),
      states.map((state) => ({ state })),
      states.map((state) => ({ state, prefetch: nodeOf(0), outDone: null })),
      // what only the update uses can come slice by slice
      states.map((state) => (sliceUpdates(graph, [state]) ? { state, sliced: true } : { state })),
    ];
    for (const placed of placements) {
      const hosted = rewrite(graph, [], placed);
      assert.deepEqual(overlaps(hosted), []);
      assert.ok(peakBytes(hosted) <= peakBytes(graph));
      const trace = await traceOf(hosted, graph);
      // slices have next values of their own
      const isCut = placed.some(({ sliced }) => sliced);
      for (const [name, value] of expected)
        if (!isCut || !/\.next in step/.test(name)) assert.equal(trace.get(name) === value, true, name);
    }
  });

test("activations are planned beside states on the host: recomputed and swapped, the bits are the same", async () => {
  const options = { loss: "ce", optimizer: "adam" };
  const graph = fixtureStep(runtime, "resnet_bottleneck_dynamic.onnx", options, { batch: 2 });
  const decisions = [...savedActivations(graph).values()].map(({ name, fixed }, i) => ({
    activation: name,
    action: fixed || i % 3 === 0 ? ("swap" as const) : ("recompute" as const),
  }));
  const hosted = rewrite(
    graph,
    decisions,
    [...stateUses(graph).keys()].map((state) => ({ state })),
  );
  assert.deepEqual(overlaps(hosted), []);
  assert.deepEqual(await traceOf(hosted, graph), await traceOf(graph, graph));
});

test("the states of models in turn lie on the host while others run: each one more takes next to nothing of the device", async () => {
  const member = (name: string, file: string, optimizer: string) => ({
    name,
    graph: fixtureStep(runtime, file, { loss: "ce", optimizer }),
  });
  const members = [
    member("m0", "mlp.ts.onnx", "adam"),
    member("m1", "mlp.ts.onnx", "sgd:momentum=0.9"),
    member("m2", "resnet_basic.ts.onnx", "adamw"),
    member("m3", "mlp.ts.onnx", "adam"),
  ];
  const joint = together(runtime, members, 1);
  const hosted = rewrite(
    joint,
    [],
    [...stateUses(joint).keys()].map((state) => ({ state })),
  );
  assert.deepEqual(overlaps(hosted), []);
  const largest = Math.max(...members.map(({ graph }) => peakBytes(graph)));
  const { arenaBytes } = layout(hosted);
  assert.ok(arenaBytes < 1.2 * largest && layout(joint).arenaBytes > 2.5 * largest, `${arenaBytes} of ${largest}`);
  assert.deepEqual(await traceOf(hosted, joint), await traceOf(joint, joint));
});
