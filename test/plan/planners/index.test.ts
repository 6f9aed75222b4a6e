import assert from "node:assert/strict";
import { after, test } from "node:test";
import { planGraph } from "../../../src/plan/planners/index.js";
import { openCpu } from "../../../src/runtime/cpu.js";
import { resnetProblem } from "../../problem.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

const problem = resnetProblem(runtime);

test("planGraph refuses unknown planners and a missing budget, and says which planner took how long", () => {
  const plan = (planner: string) => planGraph({ ...problem, planner });
  assert.throws(
    () => plan("magic"),
    /unknown planner: magic \(one of best, optimal, mutwo, capuchin, sqrt, checkmate, keepAll, recomputeAll, swapAll\)/,
  );
  assert.throws(() => plan("mutwo"), /planner needs a budget: mutwo/);
  const { planner, planningMs } = plan("keepAll");
  assert.equal(planner, "keepAll");
  assert.ok(planningMs > 0);
});
