import assert from "node:assert/strict";
import { after, test } from "node:test";
import { layout } from "../../../src/memory/layout.js";
import { peakBytes } from "../../../src/memory/liveness.js";
import { better, type MultiplexProblem, multiplex } from "../../../src/plan/multiplex/multiplex.js";
import { openCpu } from "../../../src/runtime/cpu.js";
import { alone, assertAsAlone, jointOf } from "../../multiplexed.js";
import { overlaps } from "../../overlaps.js";
import { modelledMs } from "../../problem.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

const members = [0, 1].map((seed) =>
  alone(runtime, `m${seed}`, "resnet_bottleneck_dynamic.onnx", { loss: "ce", optimizer: "adam", batch: 16, seed }),
);
const graph = jointOf(runtime, members);
const nodeMs = modelledMs(graph);
const problem: MultiplexProblem = {
  graph,
  nodeMs,
  members: ["m0", "m1"],
  swapMs: (bytes) => bytes / 1e8,
  swapMeasured: false,
  budgetBytes: null,
};
const total = nodeMs.reduce((sum, ms) => sum + ms, 0);
const free = multiplex(problem);

test("multiplex: without a budget nothing is planned, and of ways that take the same time the smallest is taken", () => {
  assert.equal(free.plan, null);
  assert.equal(free.lag, 1);
  assert.equal(free.peakBytes, layout(free.graph).arenaBytes);
  assert.ok(Math.abs(free.stepMs - total) < 1e-9 * total);
  for (const lag of [0, 0.5]) assert.ok(multiplex({ ...problem, lags: [lag] }).peakBytes > free.peakBytes);
});

test("multiplex: a plan that fits a budget is within it when it is executed, and computes the same", async () => {
  let planned = 0;
  for (const [share, lags, stages] of [
    [0.9, [1], 0],
    [0.75, [0.5], 4],
    [0.7, [0, 0.5, 1], 0],
  ] as const) {
    const { peakBytes: whole } = multiplex({ ...problem, lags, stages });
    const budgetBytes = Math.floor(share * whole);
    const found = multiplex({ ...problem, lags, stages, budgetBytes });
    assert.ok(found.feasible, `${share}`);
    assert.ok(found.peakBytes <= budgetBytes && layout(found.graph).arenaBytes === found.peakBytes);
    assert.ok(Math.abs(found.addedMs - (found.stepMs - total)) < 1e-6 * total);
    assert.deepEqual(overlaps(found.graph), []);
    planned += found.decisions.length;
    assert.ok(found.rotation);
    await assertAsAlone(runtime, members, found.rotation);
    const step = runtime.load(found.graph, layout(found.graph));
    assert.ok(step.allocatedBytes <= budgetBytes);
    step.close();
  }
  assert.ok(planned > 10);
});

test("multiplex: what the planner sees of halves is what is executed: its peak is that of the timeline", () => {
  for (const lag of [0, 0.5, 1]) {
    const whole = multiplex({ ...problem, lags: [lag] }).peakBytes;
    const { plan, graph } = multiplex({ ...problem, lags: [lag], budgetBytes: Math.floor(0.75 * whole) });
    assert.equal(plan?.timelinePeakBytes, peakBytes(graph));
  }
});

test("multiplex: a budget that cannot be met is said to be so, with the least that is reached", () => {
  const { feasible, peakBytes: least, plan } = multiplex({ ...problem, budgetBytes: 1, lags: [1] });
  assert.ok(!feasible && plan?.obstacle?.node && least < free.peakBytes);
});

test("multiplex: the printed algorithms' plan computes the same; what it needs is told by what is executed", async () => {
  const budgetBytes = Math.floor(0.8 * free.peakBytes);
  const found = multiplex({ ...problem, budgetBytes, variant: "printed" });
  assert.ok(found.printed && found.decisions.length > 0);
  assert.ok(Object.values(found.printed.cases).reduce((sum, count) => sum + count, 0) > 0);
  assert.equal(found.feasible, found.peakBytes <= budgetBytes);
  assert.ok(found.rotation);
  await assertAsAlone(runtime, members, found.rotation);
  // Algorithm G does not see all that a node needs: the budget may not be kept; ours keeps to it
  assert.ok(multiplex({ ...problem, budgetBytes }).feasible);
});

test("multiplex: what lanes hide of each other is taken off the time, and one model is no ring", () => {
  const given = { ...problem, lags: [0], stages: 8 };
  const serial = multiplex(given);
  const side = multiplex({ ...given, capacity: 2 });
  assert.equal(new Set(side.graph.nodes.map(({ lane = 0 }) => lane)).size, 2);
  assert.ok(side.stepMs < 0.95 * serial.stepMs && side.stepMs >= total / 2);
  const [one] = members;
  assert.ok(one);
  const lone = jointOf(runtime, [one]);
  const single = multiplex({ ...problem, graph: lone, nodeMs: modelledMs(lone), members: ["m0"] });
  assert.equal(single.rotation, undefined);
  assert.equal(single.graph, lone);
});

test("better: what fits, then the faster one, then the smaller one", () => {
  const one = { feasible: true, stepMs: 1, peakBytes: 5 };
  assert.equal(better(one, { ...one, feasible: false, stepMs: 0 }), one);
  assert.equal(better({ ...one, stepMs: 2 }, one), one);
  assert.equal(better({ ...one, peakBytes: 6 }, one), one);
  const large = { feasible: false, stepMs: 1, peakBytes: 9 };
  assert.deepEqual(better(large, { ...large, stepMs: 2, peakBytes: 8 }).peakBytes, 8);
});
