import assert from "node:assert/strict";
import { test } from "node:test";
import { activationRows } from "../../../src/memory/activation-rows.js";
import { printedPeakBytes } from "../../../src/plan/planners/printed.js";
import { chain } from "../../swaps.js";

test("printedPeakBytes(problem, swaps) counts a swapped activation from its way back on, not before", () => {
  const rows = activationRows(
    chain,
    chain.nodes.map(() => 1),
    { swapMs: () => 1, swapMeasured: false },
  );
  const printed = (outDone: string, prefetch: string): number =>
    printedPeakBytes({ graph: chain, rows }, [
      { activation: "a", action: "swap", swap: { outDone, prefetch } },
      { activation: "b", action: "swap", swap: { outDone, prefetch } },
    ]);
  // x is resident, a node has two tensors of its own, and what is back waits: none, or both while g runs
  assert.equal(printed("d", "db"), 4 * 1024 + 1024);
  assert.equal(printed("d", "g"), 5 * 1024);
  assert.equal(printedPeakBytes({ graph: chain, rows }, []), 5 * 1024);
});
