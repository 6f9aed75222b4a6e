import assert from "node:assert/strict";
import { after, test } from "node:test";
import { fused, fusedSizes, gradientsBeside, sideBySide } from "../../src/run/arrange.js";
import { buildTrials } from "../../src/run/build-trials.js";
import { trialsOf } from "../../src/run/trials.js";
import { openCpu } from "../../src/runtime/cpu.js";
import type { Runtime } from "../../src/runtime/runtime.js";
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
  assert.deepEqual(fused(runtime, built({ copies: 4 }), limit, { most: 2 })?.subArrays, [
    ["m0", "m1"],
    ["m2", "m3"],
  ]);
});

test("gradientsBeside puts the gradients of few models' parameters, and updates, into lanes of their own; a CPU has none", () => {
  const trials = built({ copies: 2 });
  assert.equal(gradientsBeside(runtime, trials, limit), null);
  const many: Runtime = Object.create(runtime, { fuses: { value: true } });
  const joint = gradientsBeside(many, trials, limit);
  assert.equal(joint?.lanes, 4);
  const lanesOf = (phase: string) =>
    new Set(
      joint?.graph.nodes
        .filter((node) => node.phase === phase)
        .map(({ name, lane = 0 }) => `${name.slice(0, 2)} ${lane}`),
    );
  assert.deepEqual(lanesOf("forward"), new Set(["m0 0", "m1 1"]));
  assert.deepEqual(lanesOf("update"), new Set(["m0 2", "m1 3"]));
  assert.deepEqual(lanesOf("backward"), new Set(["m0 0", "m1 1", "m0 2", "m1 3"]));
  assert.equal(gradientsBeside(many, trials, 10), null);
  assert.equal(gradientsBeside(many, built({ copies: 5 }), limit), null);
});
