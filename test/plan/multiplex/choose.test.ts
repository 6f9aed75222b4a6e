import assert from "node:assert/strict";
import { after, test } from "node:test";
import { choosePartition } from "../../../src/plan/multiplex/choose.js";
import type { Share } from "../../../src/plan/multiplex/partitions.js";
import { openCpu } from "../../../src/runtime/cpu.js";
import { alone, jointOf } from "../../multiplexed.js";
import { modelledMs } from "../../problem.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

const model = alone(runtime, "m", "resnet_basic.ts.onnx", { loss: "ce", optimizer: "sgd" });

/** Sub-arrays of one model each; a fused one is as if its nodes took as long as those of two models for all that it holds. */
const joint = (shares: readonly Share[]) => {
  const members = shares.map((_, i) => `s${i}`);
  const graph = jointOf(
    runtime,
    members.map((name) => ({ ...model, name })),
  );
  const size = new Map(shares.map((share, i) => [members[i], share.size]));
  const nodeMs = modelledMs(graph).map((ms, rank) => {
    const models = size.get(graph.nodes[rank]?.name.split("/")[0]) ?? 1;
    return models > 1 ? ms * (1 + models / 8) : ms;
  });
  return { graph, nodeMs, members };
};

const settings = { swapMs: (bytes: number) => bytes / 1e7, swapMeasured: false };

test("choosePartition: every partition is simulated, the fastest that fits is chosen, and the others are told", async () => {
  const free = await choosePartition({ ...settings, counts: [4], budgetBytes: null, joint });
  assert.deepEqual(
    free.outcomes.map(({ subArrays }) => subArrays.map(({ size }) => size)),
    [[4], [2, 2], [1, 1, 1, 1]],
  );
  assert.equal(free.chosen, 0);
  assert.deepEqual(JSON.parse(JSON.stringify(free.outcomes)), free.outcomes);
  const sizes = free.outcomes.map((one) => ("refused" in one ? Number.NaN : one.peakBytes));
  // over a budget that only the first one keeps to all others are dropped
  const budgetBytes = Math.ceil(sizes[0] as number);
  const tight = await choosePartition({
    ...settings,
    counts: [4],
    budgetBytes,
    joint,
    planner: "mutwo",
    refine: "best",
    effort: { moves: 200 },
  });
  assert.equal(tight.chosen, 0);
  assert.ok(tight.outcomes.every((one) => "feasible" in one));
});

test("choosePartition: what cannot be fused is told, and what does not fit at all", async () => {
  const found = await choosePartition({
    ...settings,
    counts: [3],
    budgetBytes: null,
    fused: false,
    joint: (shares) => (shares.some(({ size }) => size > 1) ? { refused: "models differ" } : joint(shares)),
  });
  assert.deepEqual(
    found.outcomes.map((one) => ("refused" in one ? one.refused : one.subArrays.length)),
    ["models differ", 3],
  );
  assert.equal(found.chosen, 1);
  const none = await choosePartition({ ...settings, counts: [2], budgetBytes: 1, joint });
  assert.equal(none.chosen, null);
  assert.ok(none.best && !none.best.feasible);
  const nothing = await choosePartition({
    ...settings,
    counts: [2],
    budgetBytes: null,
    joint: () => ({ refused: "no" }),
  });
  assert.deepEqual([nothing.chosen, nothing.best], [null, undefined]);
});
