import assert from "node:assert/strict";
import { after, test } from "node:test";
import { sideBySide } from "../../src/run/arrange.js";
import { buildTrials, jointValues } from "../../src/run/build-trials.js";
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
