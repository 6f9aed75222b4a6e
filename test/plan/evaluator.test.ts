import assert from "node:assert/strict";
import { test } from "node:test";
import { randomFrom } from "../../src/graph/random.js";
import { savedActivations } from "../../src/memory/activations.js";
import { timeline } from "../../src/memory/liveness.js";
import { Evaluator } from "../../src/plan/evaluator.js";
import type { PlanProblem } from "../../src/plan/plan.js";
import { choicesOf } from "../../src/plan/planners/best.js";
import { judge } from "../../src/plan/planners/prefix.js";
import { rewrite } from "../../src/plan/rewrite.js";
import { alone, held, keep, swapped } from "../../src/plan/schedule.js";
import { loadGraph } from "../../src/run/run.js";
import { goldenRun } from "../golden-run.js";

const problemOf = (name: "resnet-h100" | "gpt2-h100" | "mlp-cpu"): PlanProblem => {
  const { graph, before } = goldenRun(name);
  return {
    graph: loadGraph(graph),
    nodeMs: before.nodes.map(({ time }) => time.medianMs),
    rows: before.activations,
    budgetBytes: null,
  };
};

for (const name of ["resnet-h100", "gpt2-h100", "mlp-cpu"] as const)
  test(`evaluate(actions) is timeline(rewrite(graph, decisions)), and its time that of the plan: ${name}`, () => {
    const problem = problemOf(name);
    const { graph, nodeMs, rows } = problem;
    const saved = [...savedActivations(graph).values()];
    const evaluator = new Evaluator(
      graph,
      nodeMs,
      rows.map(({ swapMs }) => swapMs),
    );
    const unplannedMs = nodeMs.reduce((sum, ms) => sum + ms, 0);
    const random = randomFrom(1);
    for (let i = 0; i < 40; i++) {
      const share = random();
      const actions = Uint8Array.from(saved, ({ fixed, lastForwardAccess, firstBackwardAccess }) => {
        const able = [
          ...(fixed === null ? [alone, held] : []),
          ...(lastForwardAccess + 1 < firstBackwardAccess ? [swapped] : []),
        ];
        return random() < share ? (able[Math.floor(random() * able.length)] ?? keep) : keep;
      });
      const evaluation = evaluator.evaluate(actions);
      const choices = choicesOf(problem, evaluator, { actions, ...evaluation });
      assert.equal(evaluation.peakBytes, timeline(rewrite(graph, choices)).peakBytes, `${name}, vector ${i}`);
      const { addedMs } = judge(problem, choices);
      assert.ok(Math.abs(evaluation.totalMs - unplannedMs - addedMs) < 1e-6, `${name}, vector ${i}: ${addedMs} ms`);
    }
  });

test("evaluate(actions).liveBytes tells where the peak is in the unplanned schedule", () => {
  const { graph, nodeMs, rows } = problemOf("mlp-cpu");
  const evaluator = new Evaluator(
    graph,
    nodeMs,
    rows.map(({ swapMs }) => swapMs),
  );
  const { liveBytes, peakBytes } = evaluator.evaluate(new Uint8Array(rows.length));
  assert.equal(Math.max(...liveBytes), peakBytes);
  assert.equal(liveBytes.indexOf(peakBytes), timeline(graph).peakRank);
});
