import assert from "node:assert/strict";
import { test } from "node:test";
import { activationRows } from "../../src/memory/activation-rows.js";
import { allowedActions, limitsKey } from "../../src/plan/allowed.js";
import type { Constraints } from "../../src/plan/plan.js";
import { chain } from "../swaps.js";

const problemOf = (graph: typeof chain, constraints?: Constraints) => {
  const nodeMs = graph.nodes.map(() => 1);
  const rows = activationRows(graph, nodeMs, { swapMs: () => 2, swapMeasured: false });
  return { graph, nodeMs, rows, budgetBytes: 4096, ...(constraints ? { constraints } : {}) };
};

test("allowedActions(problem): constraints take away what they name, of those alone that they name", () => {
  const allowed = (constraints?: Constraints) => {
    const { a, b } = Object.fromEntries(allowedActions(problemOf(chain, constraints)));
    return { a, b };
  };
  const [both, recompute, swap] = [
    { recompute: true, swap: true },
    { recompute: true, swap: false },
    { recompute: false, swap: true },
  ];
  assert.deepEqual(allowed(), { a: both, b: both });
  assert.deepEqual(allowed({ swap: false }), { a: recompute, b: recompute });
  assert.deepEqual(allowed({ recompute: false }), { a: swap, b: swap });
  assert.deepEqual(allowed({ keep: ["a"] }), { a: { recompute: false, swap: false }, b: both });
});

test("allowedActions(problem): what is needed right after its last forward use is not swapped", () => {
  assert.deepEqual(allowedActions(problemOf(chain)).get("f"), { recompute: true, swap: false });
});

test("limitsKey(problem) tells what the actions depend on from what they do not", () => {
  const key = (constraints: Constraints): string => limitsKey(problemOf(chain, constraints));
  assert.equal(key({ keep: ["a"], maxAddedMs: 1 }), key({ keep: ["a"], maxAddedMs: 2 }));
  assert.notEqual(key({ keep: ["a"] }), key({ keep: ["b"] }));
  assert.notEqual(key({ hostBytes: 1 }), key({}));
});
