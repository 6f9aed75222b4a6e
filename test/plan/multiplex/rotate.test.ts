import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { Graph } from "../../../src/graph/graph.js";
import { activationRows } from "../../../src/memory/activation-rows.js";
import { layout } from "../../../src/memory/layout.js";
import { peakBytes } from "../../../src/memory/liveness.js";
import { ringOf } from "../../../src/plan/multiplex/ring.js";
import { type Rotation, rotate } from "../../../src/plan/multiplex/rotate.js";
import { planGraph } from "../../../src/plan/planners/index.js";
import { rewrite } from "../../../src/plan/rewrite.js";
import { openCpu } from "../../../src/runtime/cpu.js";
import { type Alone, alone, assertAsAlone, jointOf } from "../../multiplexed.js";
import { overlaps } from "../../overlaps.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

interface How {
  readonly lag: number;
  readonly stages: number;
}

const rotated = (members: readonly Alone[], how: How, plan = (joint: Graph) => joint): Rotation => {
  const joint = jointOf(runtime, members);
  const nodeMs = joint.nodes.map(() => 1);
  const names = members.map(({ name }) => name);
  const rotation = rotate(plan(joint), ringOf(joint, nodeMs, names, how));
  assert.deepEqual(overlaps(rotation.graph), []);
  return rotation;
};

const mlp = (name: string, seed: number) =>
  alone(runtime, name, "mlp.ts.onnx", { loss: "ce", optimizer: "adam", seed });

for (const how of [
  { lag: 1, stages: 0 },
  { lag: 0, stages: 0 },
  { lag: 0.5, stages: 4 },
])
  test(`rotate: losses and states of two models are those alone, bit by bit (lag ${how.lag}, ${how.stages} stages)`, async () => {
    const members = [mlp("m0", 0), mlp("m1", 1)];
    await assertAsAlone(runtime, members, rotated(members, how));
  });

test("rotate: models of other architectures, running statistics, random masks, several micro-batches, float64", async () => {
  const bottleneck = "resnet_bottleneck_dynamic.onnx";
  const members = [
    alone(runtime, "m0", "dropout_block.onnx", { loss: "mse", optimizer: "adamw", batch: 4, seed: 1 }),
    alone(runtime, "m1", "resnet_basic.ts.onnx", { loss: "ce", optimizer: "sgd", accumulate: 2 }),
    alone(runtime, "m2", bottleneck, { loss: "ce", optimizer: "adam", batch: 2, seed: 3 }),
    alone(runtime, "m3", "mlp.ts.onnx", { loss: "ce", optimizer: "sgd", precision: "float64" }),
    alone(runtime, "m4", bottleneck, { loss: "ce", optimizer: "sgd:momentum=0.9", batch: 2, seed: 4 }),
  ];
  for (let first = 0; first < members.length; first++) {
    const turned = [...members.slice(first), ...members.slice(0, first)];
    await assertAsAlone(runtime, turned, rotated(turned, { lag: first % 2, stages: first }));
  }
});

/** Decisions of a planner for the joint graph. */
const decided =
  (planner: string, share: number, bytesPerMs: number) =>
  (joint: Graph): Graph => {
    const nodeMs = joint.nodes.map(() => 1);
    const rows = activationRows(joint, nodeMs, { swapMs: (bytes) => bytes / bytesPerMs, swapMeasured: false });
    const budgetBytes = Math.floor(share * layout(joint).arenaBytes);
    const { decisions } = planGraph({ graph: joint, nodeMs, rows, budgetBytes, planner });
    assert.ok(decisions.length > 3, `${planner}: ${decisions.length}`);
    return rewrite(joint, decisions);
  };

test("rotate: planned joint graphs, recomputed, held and swapped: all as alone, bit by bit", async () => {
  const members = [0, 1].map((seed) =>
    alone(runtime, `m${seed}`, "resnet_bottleneck_dynamic.onnx", { loss: "ce", optimizer: "adam", batch: 8, seed }),
  );
  for (const [planner, share, speed, how] of [
    ["swapAll", 1, 1e5, { lag: 1, stages: 0 }],
    ["swapAll", 1, 1e3, { lag: 0, stages: 4 }],
    ["recomputeAll", 1, 1e5, { lag: 0.3, stages: 0 }],
    ["mutwo", 0.7, 1e6, { lag: 0.3, stages: 4 }],
  ] as const)
    await assertAsAlone(runtime, members, rotated(members, how, decided(planner, share, speed)));
});

test("rotate: what is carried leaves its place free meanwhile: the arena is that of one half, not of both models", () => {
  const model = alone(runtime, "m", "resnet_bottleneck_dynamic.onnx", { loss: "ce", optimizer: "sgd", batch: 16 });
  const members = ["m0", "m1"].map((name) => ({ ...model, name }));
  const one = layout(model.graph).arenaBytes;
  const sizes = [1, 0.5, 0].map((lag) => {
    const { graph } = rotated(members, { lag, stages: 0 });
    const { arenaBytes } = layout(graph);
    assert.ok(arenaBytes <= 1.05 * peakBytes(graph), `${arenaBytes} for ${peakBytes(graph)}`);
    return arenaBytes;
  });
  // both models' parameters are there, and one model's activations if forward phases wait for the backward ones
  const [least = 0, , most = 0] = sizes;
  assert.ok(least < 1.5 * one && least < most && most < 2.1 * one, `${sizes} for ${one}`);
});
