import assert from "node:assert/strict";
import { test } from "node:test";
import { runSummary, tradeoffSummary, verificationSummary } from "../../src/commands/summary.js";
import type { Verification } from "../../src/run/verification.js";
import { goldenRun } from "../golden-run.js";

/** Cells of a table that is drawn with lines. */
const rows = (text: string): string[][] =>
  text.split("\n").flatMap((line) => {
    const cells = line.split("│").map((cell) => cell.trim());
    return cells.length > 2 ? [cells.slice(1, -1)] : [];
  });

// what a run with a plan looks like is in golden/*/summary.txt

test("runSummary(run) of a run without a plan has one column of values and no line on a plan", () => {
  const run = { ...goldenRun("mlp-cpu"), plan: null, after: null, paired: null, equality: null, warnings: [] };
  const text = runSummary(run);
  assert.deepEqual(
    rows(text).map((cells) => cells.length),
    [2, 2, 2, 2, 2],
  );
  assert.doesNotMatch(text, /^(plan|equality|warning):/m);
});

test("runSummary(run) says what was not executed, and leaves out what an infeasible plan would have saved", () => {
  const run = goldenRun("gpt2-h100");
  const plan = run.plan && { ...run.plan, feasible: false };
  const warnings = [{ about: "run", text: "the device was busy" }] as const;
  const text = runSummary({ ...run, plan, after: null, equality: null, warnings });
  const cells = new Map(rows(text).map(([name = "", ...values]) => [name, values]));
  assert.equal(cells.get("peak, measured")?.[1], "not executed");
  assert.equal(cells.get("step, measured")?.[1], "not executed");
  assert.doesNotMatch(text, /^plan:/m);
  assert.equal(text.split("\n").at(-1), "warning: the device was busy");
  assert.match(text, /^in the way of the budget: .*; the largest there:\n( +[\d.]+ [KMG]?i?B {2}[a-z ]+ {2}.+\n){5}/m);
  assert.match(text, /^would lower the least reachable peak, .*:\n( {2}.* \(--.*estimated.*\n)+/m);
});

test("runSummary(run) names the module of what holds the peak, and the largest tensor of a flat buffer", () => {
  const text = runSummary(goldenRun("gpt2-h100"));
  assert.match(text, /^peak at node_addmm_3\.grad\/Gemm_2 \(m\.transformer\.h\.0\.mlp\.c_proj\); the largest there:$/m);
  assert.match(text, /273 KiB {2}parameter {2}parameters \(28 tensors, the largest 39\.6 KiB m\.lm_head\.weight\)$/m);
  assert.match(text, /gradient {2}node_Transpose_218\.grad\/Transpose:0 \(m\.lm_head\)$/m);
});

test("tradeoffSummary(run) has a row for each budget, a dash where a planner does not fit, and lines on knee and least peak", () => {
  const run = goldenRun("resnet-h100");
  const { arenaBytes, step } = run.before;
  const point = (planner: string, share: number, slower: number, budgetBytes: number | null = share * arenaBytes) => ({
    planner,
    budgetBytes,
    peakBytes: share * arenaBytes,
    hostBytes: 0,
    addedMs: slower * step.medianMs,
    copiesSimulated: false,
  });
  const tradeoff = [
    ...[point("best", 1, 0), point("best", 0.6, 0.1), point("best", 0.5, 1)],
    ...[point("mutwo", 1, 0), point("mutwo", 0.6, 0.2), point("swapAll", 0.55, 0.9, null)],
  ];
  const text = tradeoffSummary({ ...run, tradeoff });
  assert.deepEqual(
    rows(text).map((cells) => cells.slice(1)),
    [
      ["of the peak", "best", "mutwo"],
      ["100.0 %", "+0.0 %", "+0.0 %"],
      ["60.0 %", "+10.0 %", "+20.0 %"],
      ["50.0 %", "+100.0 %", "–"],
    ],
  );
  assert.match(text, /^swapAll: .*, \+90\.0 %$/m);
  assert.match(text, /^knee, .*\(60\.0 % of the unplanned peak\) for 10\.0 % more time by best$/m);
  assert.match(text, /^least reachable peak: .*\(50\.0 % of the unplanned peak\) for 100\.0 % more time by best$/m);
});

test("verificationSummary(result) shows the worst gradients first, what is missing, and the verdict last", () => {
  const compared = (name: string, relativeError: number) =>
    ({ name, relativeError }) as Verification["gradients"][number];
  const result: Verification = {
    model: "a.onnx",
    ok: false,
    loss: { expected: 1, actual: 1, relativeError: 2e-7 },
    gradients: [1, 5, 3, 2, 6, 4].map((n) => compared(`w${n}`, n * 1e-5)),
    missing: ["w7"],
    buffers: [compared("mean", 0.5), compared("variance", 0.25)],
    curves: { adam: { maxRelativeError: 3e-3 } as Verification["curves"][string] },
    float32: { loss: 1e-7, gradient: 2e-3, curve: 4e-3 },
  };
  const text = verificationSummary(result);
  assert.deepEqual(rows(text).slice(1), [
    ["loss", "2.0e-7", "1e-4"],
    ["gradient w6", "6.0e-5", "1e-3"],
    ["gradient w5", "5.0e-5", "1e-3"],
    ["gradient w4", "4.0e-5", "1e-3"],
    ["gradient w3", "3.0e-5", "1e-3"],
    ["gradient w2", "2.0e-5", "1e-3"],
    ["curve adam", "3.0e-3", "1e-3"],
    ["2 running statistics, worst", "5.0e-1", "not judged"],
  ]);
  assert.deepEqual(text.split("\n").slice(-3), [
    "missing gradient: w7",
    "computed in float64: rounding alone takes float32 as far as 2.0e-3 (gradient) and 4.0e-3 (curve)",
    "differs: a.onnx, 6 gradients",
  ]);
});
