import assert from "node:assert/strict";
import { test } from "node:test";
import { compile } from "../../src/plan/compiled.js";
import { rewrite } from "../../src/plan/rewrite.js";
import { alone, held, keep, Schedule, swapped } from "../../src/plan/schedule.js";
import { chain } from "../swaps.js";

/** The first outputs of the schedule's nodes, a copy's with a star. */
function written(actions: readonly number[]): string[] {
  const compiled = compile(
    chain,
    chain.nodes.map(() => 1),
  );
  const schedule = new Schedule(compiled);
  schedule.write(Uint8Array.from(actions));
  return Array.from(
    schedule.kept.subarray(0, schedule.keptCount),
    (entry) => `${chain.nodes[schedule.base[entry] as number]?.outputs[0]}${schedule.isCopy[entry] ? "*" : ""}`,
  );
}

test("Schedule.write(actions) is the schedule of the rewritten graph: alone, held, both, and swaps change nothing", () => {
  for (const actions of [
    [keep, keep],
    [alone, keep],
    [alone, alone],
    [held, alone],
    [held, held],
    [swapped, alone],
  ]) {
    const decisions = ["a", "b"].flatMap((activation, i) =>
      actions[i] === alone || actions[i] === held
        ? [{ activation, action: "recompute" as const, ...(actions[i] === held ? { held: true as const } : {}) }]
        : [],
    );
    const expected = rewrite(chain, decisions).nodes.map(({ outputs: [name = ""] }) =>
      name.replace(/@recompute\d*$/, "*"),
    );
    assert.deepEqual(written(actions), expected, actions.join());
  }
});
