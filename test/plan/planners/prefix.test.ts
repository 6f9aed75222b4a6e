import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../../src/build/text.js";
import { activationRows } from "../../../src/memory/activation-rows.js";
import { layout } from "../../../src/memory/layout.js";
import { timeline } from "../../../src/memory/liveness.js";
import { pcieLink } from "../../../src/plan/link.js";
import { type Choice, judge, planOf } from "../../../src/plan/planners/prefix.js";
import { rewrite } from "../../../src/plan/rewrite.js";
import { chain } from "../../swaps.js";

const nodeMs = chain.nodes.map(() => 1);

const rows = activationRows(chain, nodeMs, { swapMs: () => 2, swapMeasured: false });

const problem = { graph: chain, nodeMs, rows, budgetBytes: 4096 };

const recompute = (activation: string): Choice => ({
  activation,
  action: "recompute",
  savedBytes: 1024,
  recomputeRatio: 1,
  inactiveMs: 1,
  why: "a test",
});

test("judge(problem, choices) is the rewritten graph's timeline, and the time of its copies", () => {
  const none = judge(problem, []);
  assert.deepEqual([none.graph(), none.peakBytes, none.addedMs], [chain, timeline(chain).peakBytes, 0]);
  assert.equal(none.arenaBytes(), layout(chain).arenaBytes);
  // b@recompute is one node more
  const recomputing = judge(problem, [recompute("b")]);
  assert.deepEqual(recomputing.graph(), rewrite(chain, [recompute("b")]));
  assert.deepEqual([recomputing.addedMs, recomputing.hostBytes()], [1, 0]);
  // both copies are waited for in full where nothing says otherwise
  const swapping = judge(problem, [{ activation: "a", action: "swap" }]);
  assert.deepEqual([[...swapping.copyMs.keys()], swapping.hostBytes()], [["a"], 1024]);
  const expected = 4 + 2 * pcieLink.awaitMs;
  for (const ms of [swapping.addedMs, swapping.copyMs.get("a") as number])
    assert.ok(Math.abs(ms - expected) < 1e-9, `${ms} ms`);
});

test("planOf(problem, prefixes, …) tells each decision's peak and time from the prefixes", () => {
  const choices = [recompute("b"), recompute("a")];
  const prefixes = [0, 1, 2].map((count) => judge(problem, choices.slice(0, count)));
  const plan = planOf(problem, prefixes, prefixes[2]!, false, 3072);
  assert.deepEqual(
    plan.decisions.map(({ activation, order, addedMs, peakBytesAfter }) => [
      activation,
      order,
      addedMs,
      peakBytesAfter,
    ]),
    [
      ["b", 0, prefixes[1]!.addedMs, prefixes[1]!.peakBytes],
      ["a", 1, prefixes[2]!.addedMs - prefixes[1]!.addedMs, prefixes[2]!.peakBytes],
    ],
  );
  assert.deepEqual(
    [plan.kept, plan.peakBytes, plan.minimumPeakBytes],
    [rows.length - 2, prefixes[2]!.arenaBytes(), 3072],
  );
  const { obstacle } = plan;
  assert.equal(obstacle?.node, prefixes[2]!.graph().nodes[prefixes[2]!.peakRank]?.name);
  assert.ok(obstacle?.holders.some(({ name, bytes }) => name === "x" && bytes === 1024));
});

test("judge(problem, choices) times nodes whose own names end like a mark", () => {
  const marked = parseGraph(`graph marked(float32[256] x) => (y) {
  [/mod/@recompute] a = Exp(x)
  [b@swap] b = Exp(a)
  c = Sin(b)
backward:
  db = Mul(c, b)
  da = Mul(db, a)
  y = Sin(da)
}`);
  const times = marked.nodes.map((_, rank) => rank + 1);
  const activations = activationRows(marked, times, { swapMs: () => 2, swapMeasured: false });
  const judged = (...choices: readonly Pick<Choice, "activation" | "action">[]): number =>
    judge({ graph: marked, nodeMs: times, rows: activations, budgetBytes: null }, choices).addedMs;
  assert.deepEqual(
    // to a billionth of a ms
    [
      judged(),
      judged(recompute("a")),
      judged(recompute("a"), recompute("b")),
      judged({ activation: "a", action: "swap" }),
    ].map((ms) => Math.round(ms * 1e9) / 1e9),
    // a block for each: a takes 1 ms, b after a takes 3 ms
    [0, 1, 4, 4 + 2 * pcieLink.awaitMs],
  );
});

test("judge(problem with a capacity, choices) adds what lanes do not hide of each other", () => {
  // b..e beside f..i: a copy that is awaited in one lane costs what the other has not to do meanwhile
  const lanes = { ...chain, nodes: chain.nodes.map((node, rank) => ({ ...node, lane: rank % 2 })) };
  const swap: Choice = { ...recompute("a"), action: "swap" };
  const alone = judge({ ...problem, graph: lanes }, [swap]);
  const beside = judge({ ...problem, graph: lanes, capacity: 2 }, [swap]);
  assert.equal(judge({ ...problem, graph: lanes, capacity: 2 }, []).addedMs, 0);
  assert.ok(beside.addedMs > 0 && beside.addedMs <= alone.addedMs + 1e-9, `${beside.addedMs} of ${alone.addedMs}`);
});
