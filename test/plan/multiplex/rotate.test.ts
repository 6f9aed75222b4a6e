import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { Graph } from "../../../src/graph/graph.js";
import { tensorOf } from "../../../src/graph/graph.js";
import { activationRows } from "../../../src/memory/activation-rows.js";
import { layout } from "../../../src/memory/layout.js";
import { peakBytes } from "../../../src/memory/liveness.js";
import { readModel } from "../../../src/model/read.js";
import { ringOf } from "../../../src/plan/multiplex/ring.js";
import { rotate } from "../../../src/plan/multiplex/rotate.js";
import { planGraph } from "../../../src/plan/planners/index.js";
import { rewrite } from "../../../src/plan/rewrite.js";
import { openCpu } from "../../../src/runtime/cpu.js";
import { initialValues } from "../../../src/step/initial.js";
import { stepFor } from "../../../src/step/step.js";
import { type Member, together } from "../../../src/step/together.js";
import type { TrainingOptions } from "../../../src/step/training.js";
import { at } from "../../at.js";
import { trained, trainedMultiplexed } from "../../multiplexed.js";
import { overlaps } from "../../overlaps.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

interface Alone extends Member {
  readonly values: ReadonlyMap<string, Uint8Array>;
  readonly batches: readonly ReadonlyMap<string, Uint8Array>[];
}

const read = (file: string, dims: Readonly<Record<string, number>> = {}): Graph =>
  readModel(at(`fixtures/${file}`), { dims, runtime }).graph;

const count = 3;

/** A model's own step, its first values, and its batches. */
function alone(name: string, forward: Graph, options: TrainingOptions, seed = 0): Alone {
  const { step, baseline: graph } = stepFor(runtime, forward, options, seed);
  const batches = Array.from({ length: count }, (_, i) => {
    const values = initialValues(graph, step, seed + 100 + i);
    return new Map(graph.inputs.map((input) => [input, values.get(input) as Uint8Array]));
  });
  return { name, graph, values: initialValues(graph, step, seed), batches };
}

const prefixed = (members: readonly Alone[], of: (member: Alone) => ReadonlyMap<string, Uint8Array>) =>
  new Map(
    members.flatMap((member) => [...of(member)].map(([own, bytes]) => [`${member.name}/${own}`, bytes] as const)),
  );

/** Trains all members alone and multiplexed, and compares all losses and states. */
async function assertAsAlone(
  members: readonly Alone[],
  how: { lag: number; stages: number },
  plan = (joint: Graph) => joint,
) {
  const joint = together(runtime, members, "in turn");
  const ring = ringOf(
    joint,
    joint.nodes.map(() => 1),
    members.map(({ name }) => name),
    how,
  );
  const rotation = rotate(plan(joint), ring);
  assert.deepEqual(overlaps(rotation.graph), []);
  const values = prefixed(members, (member) => member.values);
  const batches = Array.from({ length: count }, (_, i) =>
    prefixed(members, (member) => member.batches[i] as ReadonlyMap<string, Uint8Array>),
  );
  const actual = await trainedMultiplexed(rotation, runtime, values, batches);
  let compared = 0;
  for (const { name, graph, values, batches } of members)
    for (const [what, bytes] of await trained(graph, runtime, values, batches)) {
      assert.ok(actual.get(`${name}/${what}`)?.equals(bytes), `${name}/${what} is another`);
      compared++;
    }
  for (const [what, bytes] of await trained(joint, runtime, values, batches))
    assert.ok(
      actual.get(what)?.equals(bytes),
      `${what} is another ${actual.get(what)?.toString("hex")} ${bytes.toString("hex")} ${joint.tensors.get(what)?.dtype} ${JSON.stringify(rotation.graph.nodes.filter((n) => n.name.startsWith("loss")))} ${members.map((m) => Buffer.from(actual.get(`${m.name}/loss in step 0`) ?? []).toString("hex"))}`,
    );
  assert.ok(compared > members.length * count);
  return { joint, rotation };
}

const mlp = (name: string, seed = 0) => alone(name, read("mlp.ts.onnx"), { loss: "ce", optimizer: "adam" }, seed);

for (const how of [
  { lag: 1, stages: 0 },
  { lag: 0, stages: 0 },
  { lag: 0.5, stages: 4 },
])
  test(`rotate: losses and states of two models are those alone, bit by bit (lag ${how.lag}, ${how.stages} stages)`, async () => {
    await assertAsAlone([mlp("m0"), mlp("m1", 1)], how);
  });

/** Decisions of a planner for the joint graph. */
const decided =
  (planner: string, share: number, bytesPerMs: number) =>
  (joint: Graph): Graph => {
    const nodeMs = joint.nodes.map(() => 1);
    const rows = activationRows(joint, nodeMs, { swapMs: (bytes) => bytes / bytesPerMs, swapMeasured: false });
    const budgetBytes = Math.floor(share * layout(joint).arenaBytes);
    const { decisions } = planGraph({ graph: joint, nodeMs, rows, budgetBytes, planner, effort: { moves: 500 } });
    assert.ok(decisions.length > 3, `${planner}: ${decisions.length}`);
    return rewrite(joint, decisions);
  };

test("rotate: planned joint graphs, recomputed, held and swapped: all as alone, bit by bit", async () => {
  const members = [0, 1].map((i) =>
    alone(`m${i}`, read("resnet_bottleneck_dynamic.onnx", { batch: 16 }), { loss: "ce", optimizer: "adam" }, i),
  );
  for (const [planner, share, speed] of [
    ["swapAll", 1, 1e5],
    ["recomputeAll", 1, 1e5],
    ["mutwo", 0.7, 1e6],
    ["best", 0.7, 1e4],
  ] as const)
    for (const how of [
      { lag: 1, stages: 0 },
      { lag: 0.3, stages: 4 },
    ])
      await assertAsAlone(members, how, decided(planner, share, speed));
});

test("rotate: models of other architectures, running statistics, random masks, several micro-batches, float64", async () => {
  const members = [
    alone("m0", read("dropout_block.onnx", { batch: 4 }), { loss: "mse", optimizer: "adamw" }, 1),
    alone("m1", read("resnet_basic.ts.onnx"), { loss: "ce", optimizer: "sgd", accumulate: 2 }),
    alone("m2", read("resnet_bottleneck_dynamic.onnx", { batch: 4 }), { loss: "ce", optimizer: "adam" }, 3),
    alone("m3", read("mlp.ts.onnx"), { loss: "ce", optimizer: "sgd", precision: "float64" }),
    alone("m4", read("resnet_bottleneck_dynamic.onnx", { batch: 4 }), { loss: "ce", optimizer: "sgd:momentum=0.9" }, 4),
  ];
  for (let first = 0; first < members.length; first++) {
    const turned = [...members.slice(first), ...members.slice(0, first)];
    await assertAsAlone(turned, { lag: first % 2 ? 0 : 1, stages: 0 });
    await assertAsAlone(turned.slice(0, 2), { lag: 0.5, stages: 3 });
  }
});

test("rotate: what is carried leaves its place free meanwhile: the arena is that of both halves, not of both models", () => {
  const model = alone("m", read("resnet_bottleneck_dynamic.onnx", { batch: 16 }), { loss: "ce", optimizer: "sgd" });
  const joint = together(
    runtime,
    ["m0", "m1"].map((name) => ({ ...model, name })),
    "in turn",
  );
  const sizes = [1, 0.5, 0].map((lag) => {
    const { graph } = rotate(
      joint,
      ringOf(
        joint,
        joint.nodes.map(() => 1),
        ["m0", "m1"],
        { lag, stages: 0 },
      ),
    );
    assert.deepEqual(overlaps(graph), []);
    return { timeline: peakBytes(graph), arena: layout(graph).arenaBytes };
  });
  console.log(sizes, peakBytes(joint), layout(joint).arenaBytes, peakBytes(model.graph));
  void tensorOf;
});
