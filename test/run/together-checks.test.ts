import assert from "node:assert/strict";
import { test } from "node:test";
import type { Run } from "../../src/run/run.js";
import type { Arranged, Together } from "../../src/run/together.js";
import { togetherFits } from "../../src/run/together-checks.js";

const arranged = { arrangement: "fused", subArrays: [["m0", "m1"]], executed: true } as unknown as Arranged;

const side = { arrangement: "side-by-side", subArrays: [["m0"], ["m1"]] } as unknown as Arranged;

const right = {
  trials: [{ name: "m0" }, { name: "m1" }],
  arranged: [arranged, side],
  executed: "fused",
} as unknown as Together;

const said = (changed: object, trials: readonly string[] | null = ["m0", "m1"]): string | undefined =>
  togetherFits({
    together: { ...right, ...changed },
    graph: trials ? { trials: trials.map((name) => ({ name })) } : {},
  } as unknown as Run);

test("togetherFits(run): what a run says of several models fits itself and the graph", () => {
  assert.equal(togetherFits({ graph: {} } as unknown as Run), undefined);
  assert.equal(said({}), undefined);
  assert.equal(said({}, null), undefined);
  assert.equal(said({ arranged: [side], executed: "side-by-side" }), undefined);
  for (const [changed, message] of [
    [{ trials: [{ name: "m0" }, { name: "m0" }] }, "together.trials[1] is a second m0"],
    [{ trials: [{ name: "m0" }] }, "together.trials is m0, not m0,m1"],
    [
      { arranged: [{ ...arranged, subArrays: [["m9"]] }] },
      "together.arranged[0].subArrays[0] is m9, which is no model",
    ],
    [
      { arranged: [side, { ...arranged, subArrays: [["m0"], ["m0"]] }] },
      "together.arranged[1].subArrays[1] is a second m0",
    ],
    [{ arranged: [{ ...arranged, subArrays: [["m1"]] }] }, "together.arranged[0].subArrays has 1 of 2 models"],
    [{ arranged: [arranged, { ...side, executed: true }] }, "together.arranged has 2 that were executed"],
    [{ executed: "side-by-side" }, "together.executed is side-by-side, not fused"],
  ] as const)
    assert.equal(said(changed)?.replaceAll('"', ""), message);
});
