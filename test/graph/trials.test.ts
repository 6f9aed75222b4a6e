import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import type { Graph } from "../../src/graph/graph.js";
import { fusedCount, jointName, lossPlace, trialPlace } from "../../src/graph/trials.js";

const alone = { name: "m0", array: "m0", loss: "m0/loss" };
const fused = [1, 2].map((i) => ({ name: `m${i}`, array: "f0", index: i - 1, loss: "f0/losses" }));

const graph: Graph = {
  ...parseGraph(`graph(parameter float32[3] "m0/w", parameter float32[2,3] "f0/w") => ("m0/loss", "f0/losses") {
  "m0/loss" = ReduceSum<keepdims=0>("m0/w")
  "f0/losses" = ReduceSum<keepdims=0>("f0/w", int64[1]{1})
}`),
  trials: [alone, ...fused],
};

test("trialPlace(graph, trial, name) is the tensor of a trial alone, and its part of a fused one", () => {
  assert.deepEqual(trialPlace(graph, alone, "w"), { tensor: "m0/w", offsetBytes: 0, bytes: 12 });
  assert.deepEqual(
    fused.map((trial) => trialPlace(graph, trial, "w")),
    [
      { tensor: "f0/w", offsetBytes: 0, bytes: 12 },
      { tensor: "f0/w", offsetBytes: 12, bytes: 12 },
    ],
  );
  assert.throws(() => trialPlace(graph, alone, "v"), /^Error: unknown tensor: m0\/v /);
});

test("lossPlace(graph, trial) is the scalar, or the trial's entry of the vector of losses", () => {
  assert.deepEqual(lossPlace(graph, alone), { tensor: "m0/loss", offsetBytes: 0, bytes: 4 });
  assert.deepEqual(lossPlace(graph, fused[1] ?? alone), { tensor: "f0/losses", offsetBytes: 4, bytes: 4 });
});

test("fusedCount and jointName go by the sub-array", () => {
  assert.deepEqual(
    [alone, ...fused].map((trial) => [fusedCount(graph, trial), jointName(trial, "w")]),
    [
      [1, "m0/w"],
      [2, "f0/w"],
      [2, "f0/w"],
    ],
  );
});
