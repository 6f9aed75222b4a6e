import assert from "node:assert/strict";
import { test } from "node:test";
import { fitSummary } from "../../src/commands/summary.js";
import { fitRun } from "../../src/run/fit.js";
import { profileModel } from "../../src/run/pipeline.js";
import type { Run } from "../../src/run/run.js";
import { at } from "../at.js";

const file = at("fixtures/resnet_bottleneck_dynamic.onnx");
const training = { loss: "ce", optimizer: "adam", iterations: 1, warmups: 0 } as const;
const limit = 6_000_000;
const effort = { moves: 1500 };
/** Where plans are not what is tested. */
const quick = { planner: "mutwo" };

const run = profileModel(file, { ...training, dims: { batch: 4 } });

const atBatch = async (batch: number): Promise<Run> => profileModel(file, { ...training, dims: { batch } });

test("fitRun(run, {fit}): the largest batch that fits unplanned does when it is executed, and one more does not", async () => {
  const { unplanned, dim, runBatch, notes } = fitRun(await run, { fit: `${limit}B`, ...quick });
  assert.deepEqual([dim, runBatch, notes], ["batch", 4, []]);
  assert.ok(unplanned && unplanned.batch > 4 && unplanned.estimatedMs > 0);
  const [fits, over] = [await atBatch(unplanned.batch), await atBatch(unplanned.batch + 1)];
  assert.equal(fits.before.allocatedBytes, unplanned.peakBytes);
  assert.ok(fits.before.allocatedBytes <= limit && over.before.arenaBytes > limit);
});

test("fitRun(run, {fit}): the planned batch fits when its plan is executed, with the same bits", async () => {
  const { planned, unplanned } = fitRun(await run, { fit: `batch=${limit}B`, ...effort });
  assert.ok(planned && unplanned && planned.batch > unplanned.batch);
  const { plan, after, equality } = await profileModel(file, {
    ...training,
    dims: { batch: planned.batch },
    budget: `${limit}B`,
  });
  assert.ok(plan?.feasible && after && after.allocatedBytes <= limit);
  assert.deepEqual(equality?.different, []);
});

test("fitRun(run, {fit}): nothing fits into too little; the summary says so, and how to run what does", async () => {
  const saved = await run;
  const none = fitRun(saved, { fit: "10KB", ...quick });
  assert.deepEqual([none.unplanned, none.planned], [null, null]);
  assert.match(fitSummary(saved, none), /not even 1/);
  const some = fitRun(saved, { fit: "3MB", ...quick });
  assert.match(
    fitSummary(saved, some),
    /estimated[\s\S]*to run it: mutwo profile .* --dim batch=\d+ --budget 3000000B$/,
  );
});

test("fitRun(run, {fit}) refuses a changed or missing model, and dimensions that could all be the batch, in one line", async () => {
  const saved = await run;
  const fit =
    (model: Partial<Run["model"]>, text = "1GiB") =>
    () =>
      fitRun({ ...saved, model: { ...saved.model, ...model } }, { fit: text });
  assert.throws(fit({ sha256: "0" }), /^Error: the model has changed since the run: /);
  assert.throws(fit({ path: "none.onnx" }), /^Error: cannot read model: none\.onnx \(ENOENT\)$/);
  assert.throws(fit({ dims: {} }), /^Error: no dimension to fit: .* has no symbolic one/);
  assert.throws(
    fit({ dims: { time: 2, width: 3 } }),
    /^Error: which dimension is the batch\? time, width \(--fit time=24GiB\)$/,
  );
  assert.throws(fit({}, "time=1GiB"), /^Error: no such dimension: time \(resnet_bottleneck_dynamic\.onnx has batch\)$/);
  assert.throws(fit({}, "half"), /memory to fit is not a size: half \(use 24GiB or batch=24GiB\)/);
});
