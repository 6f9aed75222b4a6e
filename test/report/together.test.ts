import assert from "node:assert/strict";
import { test } from "node:test";
import { runSummary } from "../../src/commands/summary.js";
import { reportHtml } from "../../src/report/report.js";
import {
  adviceLine,
  answerLine,
  answerRows,
  extraLine,
  fitsLine,
  partitionRows,
  sameLine,
} from "../../src/report/together.js";
import { profileModel } from "../../src/run/pipeline.js";
import type { Arranged, Together } from "../../src/run/together.js";
import { at } from "../at.js";

const trial = (name: string) => ({
  name,
  path: "net.onnx",
  sha256: "",
  loss: "ce",
  optimizer: "sgd",
  dims: {},
  seed: 0,
  varied: {},
});

const arranged = (given: Partial<Arranged>): Arranged => ({
  arrangement: "side-by-side",
  subArrays: [["m0"], ["m1"], ["m2"], ["m3"]],
  lanes: 1,
  peakBytes: 2 ** 30,
  plannedPeakBytes: null,
  unplannedMs: null,
  addedMs: null,
  predictedMs: null,
  measuredMs: null,
  ...given,
});

const together: Together = {
  trials: ["m0", "m1", "m2", "m3"].map(trial),
  alone: { stepMs: 36, peakBytes: 2 ** 28, measured: 1 },
  arranged: [
    arranged({ lanes: 4, measuredMs: 18, predictedMs: 17 }),
    arranged({
      arrangement: "fused",
      subArrays: [["m0", "m1", "m2", "m3"]],
      measuredMs: 12,
      plannedPeakBytes: 2 ** 29,
    }),
    arranged({
      arrangement: "fused",
      lanes: 2,
      subArrays: [
        ["m0", "m1"],
        ["m2", "m3"],
      ],
      predictedMs: 9,
    }),
    arranged({ arrangement: "multiplexed", why: "no plan fits the budget" }),
  ],
  executed: "side-by-side",
  fits: { limitBytes: 2 ** 30, unplanned: 1, planned: 6 },
  sameAsAlone: { models: ["m0", "m3"], compared: 720, bitwise: true, worstRelativeError: 0, worst: null },
  notes: [],
};

test("answerRows(together) are the ways of training the models, with 10 000 steps of each", () => {
  assert.deepEqual(
    answerRows(together).map((row) => [row.what, row.how, row.hours, row.faster, row.peak, row.executed]),
    [
      ["one after another", "each model's own step", "6.00 min", "1 ×", "256 MiB", ""],
      ["side by side", "4 models, 4 at a time", "3.00 min", "2.00 ×", "1.00 GiB", "yes"],
      ["fused", "4 models as one", "2.00 min", "3.00 ×", "512 MiB (1.00 GiB unplanned)", ""],
      ["fused", "sub-arrays of 2 × 2, 2 at a time", "90.0 s", "4.00 ×", "1.00 GiB", ""],
      ["μ-TWO", "4 models, one at a time", "no plan fits the budget", "–", "1.00 GiB", ""],
    ].map((row, i) => (i === 4 ? [row[0], "sub-arrays of 4 × 1, one at a time", ...row.slice(2)] : row)),
  );
});

test("answerLine, fitsLine and sameLine say it in words", () => {
  assert.equal(
    answerLine(together),
    "4 models, 10,000 steps each: 6.00 min one after another, 3.00 min side by side in one step (4 models, 4 at a time): 2.00 times as fast",
  );
  assert.match(answerLine({ ...together, executed: "multiplexed" }), /; no way of training them in one step fits$/);
  assert.equal(
    fitsLine(together),
    "1.00 GiB hold 1 such model without a plan where all run at the same time, and 6 with one where they run one after the other in one step",
  );
  assert.match(
    fitsLine({ ...together, fits: { limitBytes: 1, unplanned: 0, planned: 9, hostBytes: 3 * 2 ** 20 } }),
    /and 9 with one where they run one after the other in one step, with 3\.00 MiB of those that wait in host memory$/,
  );
  assert.match(
    fitsLine({ ...together, fits: { limitBytes: 1, unplanned: 0, planned: 2000, atLeast: true } }),
    / and at least 2000 with one where /,
  );
  assert.match(
    fitsLine({ ...together, fits: { limitBytes: 1, unplanned: 0, planned: 2 } }),
    /: fewer than the 4 that are asked for$/,
  );
  assert.equal(fitsLine({ ...together, fits: null }), "");
  assert.equal(
    sameLine(together),
    "2 of the 4 models were compared with itself alone: 720 losses, gradients and states of two steps are equal in every bit",
  );
  const off = {
    models: ["m0", "m1", "m2", "m3"],
    compared: 8,
    bitwise: false,
    worstRelativeError: 2e-7,
    worst: "m1/w",
  };
  assert.match(sameLine({ ...together, sameAsAlone: off }), /differ by at most 2\.0e-7 \(m1\/w\); a fused kernel/);
  const wrong = { ...off, worstRelativeError: 0.9 };
  assert.match(sameLine({ ...together, sameAsAlone: wrong }), /9\.0e-1 \(m1\/w\); that is more than rounding/);
});

test("a run of several models says so in its summary and report", async () => {
  const options = { loss: "ce", optimizer: "sgd", copies: 3, threads: 1, iterations: 2, warmups: 1 };
  const run = await profileModel(at("fixtures/mlp.ts.onnx"), { ...options, arrange: "side-by-side" });
  const html = reportHtml(run);
  assert.match(html, /<section id="together">/);
  assert.match(html, /3 models, 10,000 steps each: /);
  const text = runSummary(run);
  assert.match(text, /one after another/);
  assert.match(text, /every model was compared with itself alone: .* equal in every bit/);
});

const planned: Together = {
  ...together,
  arranged: [
    arranged({
      lanes: 4,
      unplannedMs: 20,
      measuredMs: null,
      why: "no plan fits the budget, the least that was found is 6.00 GiB",
    }),
    arranged({ arrangement: "fused", subArrays: [["m0", "m1", "m2", "m3"]], unplannedMs: 10, peakBytes: 2 ** 30 }),
    arranged({
      arrangement: "multiplexed",
      lanes: 2,
      subArrays: [
        ["m0", "m1"],
        ["m2", "m3"],
      ],
      unplannedMs: 10,
      addedMs: 0.2,
      predictedMs: 10.2,
      measuredMs: 10.4,
      plannedPeakBytes: 2 ** 29,
      basis: "the step without the plan, as measured, and what the plan adds",
    }),
  ],
  executed: "multiplexed",
  partitions: [
    {
      sizes: [2, 2],
      feasible: true,
      stepMs: 10.2,
      addedMs: 0.2,
      peakBytes: 2 ** 29,
      unplannedBytes: 2 ** 30,
      hostBytes: 2 ** 20,
      lag: 0.5,
      planner: "mutwo",
      recomputed: 3,
      swapped: 1,
      chosen: true,
    },
    {
      sizes: [1, 1, 1, 1],
      feasible: false,
      stepMs: 12,
      addedMs: 0,
      peakBytes: 2 ** 30,
      unplannedBytes: 2 ** 30,
      hostBytes: 0,
      lag: 1,
      planner: null,
      recomputed: 0,
      swapped: 0,
    },
    { sizes: [4], refused: "not simulated" },
  ],
};

test("adviceLine says what to do, extraLine what the μ-TWO plan costs beside the fastest step without one", () => {
  assert.equal(
    adviceLine(planned),
    "what to do: train all 4 models at once, μ-TWO: 10 000 steps of each take 104 s instead of 6.00 min, in 512 MiB of memory, and each learns what it learns alone",
  );
  const slow = { ...planned, alone: { ...planned.alone, stepMs: 10 } };
  assert.equal(
    adviceLine(slow),
    "what to do: train the 4 models one after another; in one step they would take 104 s instead of 100 s",
  );
  assert.equal(adviceLine({ ...planned, executed: "side-by-side" }), "");
  assert.equal(
    extraLine(planned),
    "μ-TWO as planned takes 400 µs more (+4.0 %) than the fastest step without a plan, fused (4 models as one, 10.0 ms) at 50.0 % of its peak",
  );
  assert.equal(extraLine(together), "");
});

test("answerRows(together) say how far predictions are from what was measured, and what the plan adds", () => {
  const [, side, , ring] = answerRows(planned);
  assert.deepEqual(
    [side?.hours, side?.predicted, side?.added],
    ["no plan fits the budget, the least that was found is 6.00 GiB", "–", "–"],
  );
  assert.deepEqual([ring?.predicted, ring?.added], ["10.2 ms (−1.9 %)", "200 µs (+2.0 %)"]);
});

test("partitionRows(together) are the partitions that were simulated, with a verdict for each", () => {
  assert.deepEqual(
    partitionRows(planned).map((row) => Object.values(row)),
    [
      [
        "2 + 2",
        "taken",
        "10.2 ms",
        "200 µs",
        "512 MiB (1.00 GiB unplanned)",
        "3 recomputed, 1 swapped, 1.00 MiB on the host (mutwo)",
      ],
      ["1 + 1 + 1 + 1", "over the budget", "12.0 ms", "0 ms", "1.00 GiB", "everything kept"],
      ["4", "not simulated", "–", "–", "–", "–"],
    ],
  );
  assert.deepEqual(partitionRows(together), []);
});
