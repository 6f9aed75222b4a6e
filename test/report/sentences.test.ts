import assert from "node:assert/strict";
import { test } from "node:test";
import {
  allocated,
  boundSentence,
  constraintsLine,
  copiesNote,
  decisionCounts,
  equalityLine,
  headline,
  helps,
  infeasibleLine,
  leverLine,
  nodesSum,
  stepTime,
} from "../../src/report/sentences.js";
import type { Lever } from "../../src/run/levers.js";
import type { Run } from "../../src/run/run.js";
import { goldenRun } from "../golden-run.js";

const run = goldenRun("mlp-cpu");

const swapping = goldenRun("gpt2-h100");

const planOf = ({ plan }: Run) => {
  assert.ok(plan);
  return plan;
};

const samples = (medianMs: number, spreadMs: number) => ({
  samplesMs: [medianMs],
  medianMs,
  meanMs: medianMs,
  spreadMs,
});

test("allocated(profile) and stepTime(profile) say why there is no number", () => {
  const { before } = run;
  const offloaded = { ...before, offloaded: { allocatedBytes: 1, step: before.step } };
  assert.deepEqual([allocated(offloaded), stepTime(offloaded)], ["does not fit", "does not fit"]);
  assert.equal(allocated(swapping.before), "not executed (replay)");
  assert.equal(allocated({ ...before, allocatedBytes: 2048 }), "2.00 KiB");
  assert.equal(stepTime({ ...before, step: samples(2, 0.5) }), "2.00 ms ± 500 µs");
  assert.equal(stepTime({ ...before, step: samples(2, 0.5), simulated: true }), "2.00 ms (simulated)");
});

test("nodesSum(profile) says how far the sum of the nodes is from the step", () => {
  assert.equal(nodesSum({ ...run.before, nodesMs: 3, step: samples(2, 0) }), "3.00 ms (+50.0 %)");
  assert.equal(nodesSum({ ...run.before, nodesMs: 1, step: samples(2, 0) }), "1.00 ms (−50.0 %)");
});

test("equalityLine(equality) tells different, equal within noise, and equal", () => {
  const equality = { compared: 9, different: [], bitwise: true, worstRelativeError: 0, runToRun: null };
  assert.equal(equalityLine(equality), "9 tensors are equal bit by bit");
  const near = { ...equality, bitwise: false, worstRelativeError: 1e-6, runToRun: 2e-6 };
  assert.equal(
    equalityLine(near),
    "9 tensors are equal within 1.0e-6; two runs of the unplanned step differ by 2.0e-6",
  );
  assert.equal(equalityLine({ ...near, different: ["loss"] }), "1 of 9 tensors differ");
  // where kernels vary: compared under others than are timed
  const exact = { ...equality, deterministic: true, runToRun: 2e-6 } as const;
  assert.equal(
    equalityLine(exact),
    "9 tensors are equal bit by bit under deterministic kernels; with the kernels that were timed the unplanned step differs by 2.0e-6 from run to run",
  );
  assert.match(equalityLine({ ...exact, runToRun: 0 }), /timed the unplanned step differs not from run to run$/);
  assert.match(
    equalityLine({ ...exact, bitwise: false, worstRelativeError: 1e-7, unstable: ["loss in step 1"] }),
    /^8 of 9 tensors are equal bit by bit under deterministic kernels, the others, which no kernel computes the same each time, within 1\.0e-7; /,
  );
  assert.match(equalityLine({ ...exact, bitwise: false, different: ["loss"] }), /^1 of 9 tensors differ under det/);
});

test("decisionCounts(plan) counts what is recomputed, swapped and kept", () => {
  const plan = planOf(run);
  assert.match(decisionCounts(plan), /^\d+ recomputed, \d+ kept$/);
  assert.match(decisionCounts(planOf(swapping)), /^\d+ swapped \(.* on the host\), \d+ kept$/);
  assert.equal(decisionCounts({ ...plan, decisions: [], kept: 3 }), "0 recomputed, 3 kept");
});

test("copiesNote(run) is there only where a swapped activation's copies were not measured", () => {
  assert.equal(copiesNote(run), "");
  const activations = (swapMeasured: boolean) =>
    swapping.before.activations.map((activation) => ({ ...activation, swapMeasured }));
  const withCopies = (isMeasured: boolean): Run => ({
    ...swapping,
    before: { ...swapping.before, activations: activations(isMeasured) },
  });
  assert.equal(copiesNote(withCopies(true)), "");
  assert.equal(copiesNote(withCopies(false)), " (copies simulated, beside the nodes)");
});

test("headline(run) says what a step needs, what a plan saves, or that its budget cannot be met", () => {
  const plan = planOf(run);
  assert.match(headline({ ...run, plan: null }).text, /^The step needs .* and takes /);
  const timed = (planned: number, spread: number): string =>
    headline({ ...run, paired: { unplanned: samples(10, spread), planned: samples(planned, spread) } }).text;
  assert.match(timed(12, 0.1), /less memory for 20\.0 % more time \(measured\)\.$/);
  assert.match(timed(9, 0.1), /less memory for 10\.0 % less time \(measured\)\.$/);
  assert.match(timed(12, 1), /for the same time within the noise \(20\.0 % more, measured\)\.$/);
  assert.match(headline({ ...run, paired: null }).text, /more time \(predicted\)\.$/);
  const failed = { ...plan, feasible: false, budgetBytes: 1024, minimumPeakBytes: 2048 };
  assert.deepEqual(headline({ ...run, plan: failed }), { text: `${infeasibleLine(failed)}.`, good: false });
  assert.equal(
    infeasibleLine(failed),
    `infeasible budget: 1.00 KiB; the least reachable peak is 2.00 KiB (planner ${failed.planner})`,
  );
});

test("boundSentence(): what is proven of a plan's time, and whether the proof was ended; nothing without one", () => {
  const plan = planOf(run);
  assert.equal(boundSentence(run, plan), "");
  const bound = { addedMs: 0.119 * run.before.step.medianMs, proven: true };
  assert.equal(boundSentence(run, { ...plan, bound }), "no plan of this kind needs less than 11.9 % (predicted)");
  assert.match(
    boundSentence(run, { ...plan, bound: { ...bound, proven: false } }),
    /11\.9 % \(predicted\), as far as was proven in the time for it$/,
  );
  assert.match(
    headline({ ...run, plan: { ...plan, feasible: true, bound } }).text,
    /; predicted were .* %, and no plan of this kind needs less/,
  );
  assert.match(
    headline({ ...run, paired: null, plan: { ...plan, feasible: true, bound } }).text,
    /more time \(predicted\); no plan of this kind needs less/,
  );
});

test("helps(run) and leverLine(lever) say what would lower the peak, with what it comes to, estimated", () => {
  for (const line of helps(goldenRun("gpt2-h100"))) assert.match(line, /estimated/);
  const lever: Lever = {
    kind: "batch",
    what: "a batch of 4",
    changed: { dims: { batch: 4 } },
    flags: "--dim batch=4",
    command: null,
    peakBytes: 3072,
    gainBytes: 1024,
    addedMs: -2,
    fits: true,
    note: "for half",
  };
  assert.equal(
    leverLine(lever),
    "a batch of 4 (--dim batch=4): about 3.00 KiB, 1.00 KiB less, 2.00 ms less time (estimated, within the budget); for half",
  );
  assert.equal(
    leverLine({ ...lever, gainBytes: null, peakBytes: null, note: "" }),
    "a batch of 4 (--dim batch=4): not estimated",
  );
});

test("constraintsLine(plan) says each constraint, and nothing without one", () => {
  const { plan } = goldenRun("gpt2-h100");
  assert.ok(plan);
  assert.equal(constraintsLine({ ...plan, constraints: {} }), "");
  assert.equal(
    constraintsLine({ ...plan, constraints: { keep: ["a"], swap: false, hostBytes: 2048, maxAddedMs: 2 } }),
    "1 kept as asked, no swaps, 2.00 KiB of host memory at most, 2.00 ms more time at most",
  );
});
