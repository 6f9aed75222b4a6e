import assert from "node:assert/strict";
import { after, test } from "node:test";
import { peakBytes } from "../../src/memory/liveness.js";
import { startBound } from "../../src/plan/bound.js";
import { Evaluator } from "../../src/plan/evaluator.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { resnetProblem } from "../problem.js";

const runtime = openCpu();
after(() => runtime.close());
const problem = resnetProblem(runtime);
const unplanned = peakBytes(problem.graph);
const at = (share: number) => ({ ...problem, budgetBytes: Math.floor(share * unplanned) });

test("startBound(): 0 where the step fits as it is, infinite where nothing does, more for less memory", () => {
  const fits = startBound(at(1)).collect(0);
  assert.deepEqual([fits?.addedMs, fits?.proven], [0, "optimal"]);
  assert.equal(startBound(at(0.01)).collect(60_000)?.addedMs, Number.POSITIVE_INFINITY);
  const bounds = [0.9, 0.7].map((share) => startBound(at(share), { timeLimitMs: 60_000 }).collect(90_000));
  assert.deepEqual(
    bounds.map((bound) => bound?.proven),
    ["optimal", "optimal"],
  );
  const [more, less] = bounds.map((bound) => bound?.addedMs ?? 0) as [number, number];
  assert.ok(0 < more && more < less, `${more}, ${less}`);
});

test("startBound(): its actions cost about the bound, and evict what makes up for the excess", () => {
  const { graph, nodeMs, rows } = problem;
  const evaluator = new Evaluator(
    graph,
    nodeMs,
    rows.map(({ swapMs }) => swapMs),
  );
  const bound = startBound(at(0.8), { evaluator, timeLimitMs: 60_000 }).collect(90_000) ?? assert.fail("no bound");
  const base = evaluator.evaluate(new Uint8Array(rows.length));
  const found = evaluator.evaluate(bound.actions ?? assert.fail("no actions"));
  assert.ok(found.totalMs - base.totalMs >= bound.addedMs);
  assert.ok(found.peakBytes < base.peakBytes);
});
