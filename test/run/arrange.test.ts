import assert from "node:assert/strict";
import { after, test } from "node:test";
import { fused, fusedSizes, sideBySide } from "../../src/run/arrange.js";
import { buildTrials } from "../../src/run/build-trials.js";
import { trialsOf } from "../../src/run/trials.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { at } from "../at.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

const limit = Number.POSITIVE_INFINITY;

const built = (options: object) =>
  buildTrials(trialsOf(at("fixtures/mlp.ts.onnx"), { loss: "ce", optimizer: "sgd", ...options }), runtime);

test("sideBySide and fused arrange models; what changes the graph makes another sub-array, and says so", () => {
  const trials = built({ copies: 4, vary: ["accumulate=1,2"] });
  const side = sideBySide(runtime, trials, limit);
  assert.deepEqual([side.lanes, side.subArrays], [1, [["m0"], ["m1"], ["m2"], ["m3"]]]);
  const one = fused(runtime, trials, limit);
  assert.deepEqual(one?.subArrays, [
    ["m0", "m2"],
    ["m1", "m3"],
  ]);
  assert.match(one?.notes.join() ?? "", /^m1 begins another sub-array: m1 has another accumulation than m0$/);
  assert.deepEqual(fusedSizes(runtime, trials), [2]);
  assert.equal(fused(runtime, trials.slice(0, 2), limit), null);
  assert.deepEqual(fused(runtime, built({ copies: 4 }), limit, 2)?.subArrays, [
    ["m0", "m1"],
    ["m2", "m3"],
  ]);
});
