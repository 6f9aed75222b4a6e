import assert from "node:assert/strict";
import { test } from "node:test";
import { bestPoints, costsOf, modelsOf } from "../../src/sweep/best.js";
import { dynamicModel, planned, sweepOf, unplanned, wanted } from "../sweep-of.js";

const sweep = sweepOf("best", [
  [wanted(2), unplanned(4, 1)],
  [wanted(2, "60%"), planned(2, 1.5)],
  [wanted(2, "70%"), planned(3, 1.6)],
  [wanted(2, "10%"), planned(1, 2, false)],
  [wanted(8), unplanned(16, 2)],
  [wanted(8, "60%"), planned(20, 2)],
  [wanted(16), null],
  [wanted(32), { error: "out of memory", figures: {} }],
]);

const batchAndBudget = ({ state }: { state: (typeof sweep.points)[number] }) => [
  state.point.options.dims?.batch,
  state.point.options.budget,
];

test("costsOf(state): as planned where there is a plan; nothing of what does not fit, failed or is not there", () => {
  const costs = sweep.points.map(costsOf);
  assert.deepEqual(
    costs.map((one) => one && [one.peakBytes / 2 ** 20, one.stepMs, one.sampleMs]),
    [[4, 1, 0.5], [2, 1.5, 0.75], [3, 1.6, 0.8], undefined, [16, 2, 0.25], [20, 2, 0.25], undefined, undefined],
  );
});

test("bestPoints(states): no other needs as little memory and is as fast by the sample", () => {
  assert.deepEqual(bestPoints(sweep.points).map(batchAndBudget), [
    [2, "60%"],
    [2, undefined],
    [8, undefined],
  ]);
  assert.deepEqual(
    modelsOf(sweep.points).map((model) => dynamicModel.endsWith(model.split("/").at(-1)!)),
    [true],
  );
});
