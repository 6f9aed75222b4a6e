import assert from "node:assert/strict";
import { test } from "node:test";
import { Half } from "../../../src/plan/multiplex/half.js";
import { hidingAhead, type Surroundings, type Swap, swapOverhead } from "../../../src/plan/multiplex/overhead.js";
import { featureMap, subArrayOf } from "../../sub-arrays.js";

const forward = ["F0", "F1", "F2"];
const backward = ["B0", "B1", "B2", "B3"];
const map = (name: string, rank: number, swapMs = 2) => featureMap(name, 1, [0, forward.length + rank], { swapMs });

/** Memory for everything, a peak interval that ends before a backward node, forward nodes of these times. */
const surroundings = (peakEnd: number, forwardMs: readonly number[] = [1, 1, 1]): Surroundings & { swaps: Swap[] } => {
  const times = Object.fromEntries(forward.map((name, i) => [name, forwardMs[i] as number]));
  const one = subArrayOf(forward, backward, () => 1, []);
  const two = subArrayOf(forward, backward, () => 1, [], 0, times);
  return {
    half: new Half(one, two, new Map()),
    limitBytes: Number.POSITIVE_INFINITY,
    peakEnd: forward.length + peakEnd,
    recomputeMs: new Float64Array(7),
    swaps: [],
    evicted: new Map(),
  };
};

const schedule = (around: ReturnType<typeof surroundings>, ...maps: ReturnType<typeof map>[]): Swap[] => {
  for (const one of maps) around.swaps.push(swapOverhead(one, one.firstBackwardAccess, around));
  return around.swaps;
};

test("swapOverhead: in the peak interval a swap costs its copy, and what is left of the one before it (1(a), 1(b))", () => {
  const [first, second] = schedule(surroundings(4), map("a", 1), map("b", 1)) as [Swap, Swap];
  assert.deepEqual([first.case, first.overheadMs], ["1(a)", 2]);
  assert.deepEqual([second.case, second.overheadMs], ["1(b)", 4]);
});

test("swapOverhead: behind forward nodes (2(a)), then behind backward ones (2(b)), then what is left (3)", () => {
  const around = surroundings(0);
  const [a, b, c] = schedule(around, map("a", 3), map("b", 2), map("c", 1)) as [Swap, Swap, Swap];
  assert.deepEqual([a.case, b.case, c.case], ["2(a)", "2(b)", "3"]);
  // the second one took the first forward node: those of the first one are later ones
  assert.deepEqual([hidingAhead(around.half, a), hidingAhead(around.half, b)], [[1, 2], [0]]);
  assert.deepEqual([b.behind, c.behind, c.overheadMs], [[4], [3], 1]);
  assert.deepEqual(b.prompt, { rank: 4, lead: 0 });
});

test("swapOverhead: a forward node is not placed where another swap is then no longer covered", () => {
  // a hides behind F0 of 2 ms; b would shift it to F1 of half a ms
  const around = surroundings(0, [2, 0.5, 0.5]);
  const [a, b] = schedule(around, map("a", 3), map("b", 2)) as [Swap, Swap];
  assert.deepEqual([a.case, hidingAhead(around.half, a)], ["2(a)", [0]]);
  assert.deepEqual([b.case, b.lead, b.behind], ["2(b)", 0, [4, 3]]);
});

test("swapOverhead: recomputation before the deadline hides a copy, and swaps of one deadline share forward nodes", () => {
  const around = surroundings(0);
  around.recomputeMs[6] = 2;
  assert.deepEqual(
    schedule(around, map("a", 3)).map(({ lead, overheadMs }) => [lead, overheadMs]),
    [[0, 0]],
  );
  const shared = surroundings(0);
  const [one, two] = schedule(shared, map("a", 3, 1), map("b", 3, 1)) as [Swap, Swap];
  assert.deepEqual([hidingAhead(shared.half, one), hidingAhead(shared.half, two)], [[1], [0]]);
});
