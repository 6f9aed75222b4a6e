import assert from "node:assert/strict";
import { after, test } from "node:test";
import { randomFrom } from "../../../src/graph/random.js";
import { Drafts, type Taken } from "../../../src/plan/planners/drafts.js";
import { openCpu } from "../../../src/runtime/cpu.js";
import { resnetProblem } from "../../problem.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

const problem = resnetProblem(runtime);

test("Drafts: what a draft says of peak and time is what the plan comes to, wherever copies back may begin", () => {
  const drafts = new Drafts(problem);
  const random = randomFrom(3);
  for (let i = 0; i < 40; i++) {
    const taken = [...drafts.rows.keys()].flatMap((index): Taken[] => {
      const { recompute, swap } = drafts.allowed[index] as { recompute: boolean; swap: boolean };
      const action = (["recompute", "hold", "swap"] as const)[Math.floor(random() * 3)] as Taken["action"];
      if (random() < 0.6 || !(action === "swap" ? swap : recompute)) return [];
      const last = problem.rows[index]?.firstBackwardAccess as number;
      return [{ index, action, earliest: Math.floor(random() * (last + 1)), ratio: null, why: () => "a test" }];
    });
    const draft = drafts.draft(taken);
    const judged = drafts.judge(draft);
    assert.equal(draft.peakBytes, judged.peakBytes, `${i}`);
    assert.ok(Math.abs(draft.totalMs - drafts.empty.totalMs - judged.addedMs) < 1e-6, `${i}`);
    assert.equal(judged.graph().nodes.filter(({ op }) => !/^Swap/.test(op)).length >= draft.nodeCount, true);
  }
});

test("Drafts.prefixes tells what the first so many decisions come to", () => {
  const drafts = new Drafts(problem);
  const taken = [...drafts.rows.keys()]
    .filter((index) => drafts.allowed[index]?.recompute)
    .slice(0, 5)
    .map((index): Taken => ({ index, action: "recompute", ratio: null, why: () => "" }));
  const found = drafts.prefixes(taken);
  assert.equal(found.length, 6);
  assert.deepEqual(found[0], { peakBytes: drafts.empty.peakBytes, addedMs: 0 });
  assert.equal(found[5]?.peakBytes, drafts.draft(taken).peakBytes);
});
