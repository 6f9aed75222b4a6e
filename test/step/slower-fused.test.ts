import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/parse.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { fuseTrials } from "../../src/step/fused-trials.js";
import { slowerFused } from "../../src/step/slower-fused.js";
import { stepFor } from "../../src/step/step.js";

const forward =
  parseGraph(`graph n(float32[2,3,8,8] x, parameter float32[4,3,3,3] v, parameter float32[4,4,3,3] w) => (y) {
  [a/Conv] h = Conv<pads=[1,1,1,1]>(x, v)
  [b/Conv] y = Conv<pads=[1,1,1,1]>(h, w)
}`);

const options = { loss: "mse", optimizer: "sgd", accumulate: 2 };

test("slowerFused(…) names products that take longer with their gradients than one after another, of all micro-batches", async () => {
  const cpu = openCpu({ threads: 1 });
  const members = ["m0", "m1", "m2"].map((name, seed) => ({ name, graph: forward, options, seed }));
  const alone = stepFor(cpu, forward, options, 0).step.nodes;
  const fused = fuseTrials(cpu, members).step.nodes.map((node) => ({ ...node, name: `f0/${node.name}` }));
  /** 1 ms for each node, `slow` for those in a scope. */
  const times = (nodes: typeof alone, scope: RegExp, slow: number): number[] =>
    nodes.map(({ name }) => (scope.test(name) ? slow : 1));
  const found = (scope: RegExp, slow: number): string[] => [
    ...slowerFused(
      forward,
      { nodes: alone, nodeMs: times(alone, /^$/, 1) },
      { nodes: fused, nodeMs: times(fused, scope, slow) },
      { models: 3, prefix: "f0/" },
    ),
  ];
  assert.deepEqual(found(/^$/, 1), []);
  assert.deepEqual(found(/^f0\/b\/Conv/, 2), []);
  assert.deepEqual(found(/^f0\/b\/Conv(@micro2)?$/, 20), ["b/Conv"]);
  assert.deepEqual(found(/^f0\/a\/Conv(@micro2)?\.grad/, 20), ["a/Conv"]);
  await cpu.close();
});
