import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { Graph } from "../../src/graph/graph.js";
import { layout } from "../../src/memory/layout.js";
import { sideBySide } from "../../src/run/arrange.js";
import { buildTrials, checkFits, checkJointMemory, jointValues } from "../../src/run/build-trials.js";
import { trialsOf } from "../../src/run/trials.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { at } from "../at.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

const limit = Number.POSITIVE_INFINITY;

const built = (options: object) =>
  buildTrials(trialsOf(at("fixtures/mlp.ts.onnx"), { loss: "ce", optimizer: "sgd", ...options }), runtime);

test("jointValues(runtime, graph, trials) has each model's own first values", () => {
  const trials = built({ copies: 2 });
  const { graph } = sideBySide(runtime, trials, limit);
  const values = jointValues(runtime, graph, trials);
  for (const { spec, values: own } of trials)
    for (const [name, bytes] of own()) assert.deepEqual(values.get(`${spec.name}/${name}`), bytes);
});

test("checkJointMemory(trials, free) says how many models fit", () => {
  const trials = built({ copies: 5 });
  const bytes = (count: number, free: number): string => {
    try {
      checkJointMemory(trials.slice(0, count), free, false);
      return "fits";
    } catch (error) {
      return (error as Error).message;
    }
  };
  const one = layout(trials[0]?.baseline as Graph).arenaBytes;
  assert.equal(bytes(1, one), "fits");
  assert.match(
    bytes(5, one),
    /^out of memory: 5 models do not fit: one after the other in one step they need .*, .* are free; 1 fit \(--copies 1\)$/,
  );
  assert.match(bytes(1, one - 1), /; not even one fits \(bind smaller dimensions, or pass a --budget\)$/);
  const { arenaBytes } = layout(sideBySide(runtime, trials.slice(0, 4), limit).graph);
  assert.match(bytes(5, arenaBytes), /; 4 fit \(--copies 4\)$/);
  assert.throws(() => checkJointMemory(trials, one, true), { message: /; not even one fits / });
});

test("checkFits(count, fits) refuses more models than a device holds", () => {
  checkFits(9, null);
  const fits = { limitBytes: 2 ** 30, unplanned: 3, planned: 8 };
  checkFits(8, fits);
  assert.throws(() => checkFits(9, fits), {
    message:
      "out of memory: 9 models do not fit: 1.00 GiB are free, which hold 3 at once without a plan; 8 fit (--copies 8)",
  });
});
