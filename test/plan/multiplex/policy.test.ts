import assert from "node:assert/strict";
import { test } from "node:test";
import { type FeatureMap, Half, type SubArray, type TimedNode } from "../../../src/plan/multiplex/half.js";
import { hidingAhead } from "../../../src/plan/multiplex/overhead.js";
import { type HalfPlan, halfPlan, ringPlan } from "../../../src/plan/multiplex/policy.js";

const forward = ["Z1", "Z2", "Z3", "Z4", "Z5", "L"];
const backward = ["dZ5", "dW5", "dZ4", "dW4", "dZ3", "dW3", "dZ2", "dW2", "dZ1", "dW1"];

/** Feature map Zk: last read where Zk+1 is made, read again where dWk+1 is. */
const featureMap = (k: number, bytes: number, given: Partial<FeatureMap> = {}): FeatureMap => {
  const firstBackwardAccess = forward.length + backward.indexOf(`dW${k + 1}`);
  return {
    name: `Z${k}`,
    memoryBytes: bytes,
    createdRank: k - 1,
    lastForwardAccess: k,
    firstBackwardAccess,
    lastBackwardAccess: firstBackwardAccess,
    inactiveMs: firstBackwardAccess - k - 1,
    swapMs: 2,
    recomputeSources: [],
    recomputeMs: 0,
    fixed: "not in the figure",
    ...given,
  };
};

/** A sub-array of the figure: unit times, and bytes that the nodes need by their names. */
const subArray = (activeBytes: Readonly<Record<string, number>>, otherwise: number, maps: FeatureMap[]): SubArray => ({
  nodes: [...forward, ...backward].map(
    (name): TimedNode => ({ name, ms: 1, activeBytes: activeBytes[name] ?? otherwise }),
  ),
  forwardCount: forward.length,
  maps,
  staticBytes: 0,
});

// the figure gives no bytes: with these its peak interval ends with dW5, and beside dW2, dW3 and dW4 there is room for
// three, one and no forward nodes of the other sub-array
const limit = 60;
const first = subArray(
  { dZ5: 58, dW5: 44, dZ4: 30, dW4: 42, dZ3: 10, dW3: 36, dZ2: 10, dW2: 12, dZ1: 10, dW1: 10 },
  20,
  [1, 2, 3, 4].map((k) => featureMap(k, 8)),
);
const second = subArray({}, 20, [featureMap(1, 8), featureMap(2, 8), featureMap(3, 1), featureMap(4, 1)]);

test("halfPlan takes Fig. 6's cases, forward and backward nodes, stalls, and shifts Z1's forward nodes", () => {
  const plan = halfPlan(first, second, new Map(), limit);
  const half = new Half(first, second, new Map());
  for (const { deadline, lead, taken } of plan.swaps)
    if (lead > taken) half.placed.set(deadline, (half.placed.get(deadline) ?? 0) + lead - taken);
  const names = (ranks: readonly number[], of: SubArray) => ranks.map((rank) => of.nodes[rank]?.name).join(",");
  const rows = plan.swaps.map((swap) => [
    swap.map.name,
    names([swap.deadline], first),
    swap.case,
    names(hidingAhead(half, swap), second),
    names(swap.behind, first),
    swap.overheadMs,
  ]);
  assert.deepEqual(rows, [
    ["Z1", "dW2", "2(a)", "Z2,Z3", "", 0], // Z1,Z2 before Z2's swap took Z1
    ["Z2", "dW3", "2(b)", "Z1", "dZ3", 0],
    ["Z3", "dW4", "3", "", "dZ4", 1],
    ["Z4", "dW5", "1(a)", "", "", 2],
  ]);
  assert.ok(plan.feasible && plan.peakBytes === 58);
  assert.equal(plan.addedMs, 3);
  assert.equal(
    plan.order.map(({ isForward, rank }) => `${isForward ? "*" : ""}${first.nodes[rank]?.name}`).join(" "),
    "dZ5 dW5 dZ4 dW4 dZ3 *Z1 dW3 dZ2 *Z2 *Z3 dW2 dZ1 dW1 *Z4 *Z5 *L",
  );
  // copies back begin: Z1's before the forward nodes that hide it, the others' before the last node that does
  const prompts = plan.swaps.map(({ prompt: { rank, lead } }) => [first.nodes[rank]?.name, lead]);
  assert.deepEqual(prompts, [
    ["dW2", 2],
    ["dZ3", 0],
    ["dZ4", 0],
    ["dW5", 0],
  ]);
});

test("before Z2's swap is scheduled Z1's hides behind the first two forward nodes", () => {
  const alone = halfPlan({ ...first, maps: [featureMap(1, 8)] }, second, new Map(), limit);
  assert.deepEqual(
    alone.swaps.map(({ case: which }) => which),
    ["2(a)"],
  );
  assert.match(
    alone.order.map(({ isForward, rank }) => `${isForward ? "*" : ""}${first.nodes[rank]?.name}`).join(" "),
    /dZ2 \*Z1 \*Z2 dW2/,
  );
});

test("a swap that a recomputation is made from comes back before it, and recomputation hides copies", () => {
  const maps = [1, 2, 3, 4].map((k) =>
    featureMap(k, 8, k === 2 ? { fixed: null, recomputeMs: 0.5, recomputeSources: ["Z1"], inactiveMs: 0 } : {}),
  );
  const plan = halfPlan({ ...first, maps }, second, new Map(), limit);
  assert.equal(plan.evicted.get("Z2")?.prompt, null);
  const z1 = plan.swaps.find(({ map }) => map.name === "Z1");
  assert.equal(first.nodes[z1?.deadline ?? -1]?.name, "dW3");
  assert.ok(plan.feasible);
});

test("ringPlan: all schedules know what the next one decides; equal sub-arrays get equal plans", () => {
  const [one, two] = ringPlan([first, first], limit) as [HalfPlan, HalfPlan];
  assert.deepEqual([...one.evicted], [...two.evicted]);
  assert.ok(one.feasible && two.feasible);
  const four = ringPlan([first, first, first, first], limit);
  for (const plan of four) assert.deepEqual([...plan.evicted], [...one.evicted]);
  // what leaves the forward sub-array does not wait there: more forward nodes find room than in the figure
  const [mixed, other] = ringPlan([first, second], limit) as [HalfPlan, HalfPlan];
  assert.deepEqual(halfPlan(first, second, other.evicted, limit).evicted, mixed.evicted);
  assert.deepEqual(halfPlan(second, first, mixed.evicted, limit).evicted, other.evicted);
});

test("halfPlan says where a limit cannot be met", () => {
  const plan = halfPlan(first, second, new Map(), 57);
  assert.ok(!plan.feasible);
  assert.equal(plan.evicted.size, 4);
});
