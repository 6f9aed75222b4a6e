import assert from "node:assert/strict";
import { after, test } from "node:test";
import { activationRows } from "../../src/memory/activation-rows.js";
import { timeline } from "../../src/memory/liveness.js";
import { Evaluator } from "../../src/plan/evaluator.js";
import type { PlanProblem } from "../../src/plan/plan.js";
import { hosted } from "../../src/plan/planners/on-host.js";
import { rewrite } from "../../src/plan/rewrite.js";
import { hiddenStates, placedInTurn, stateOptions, waitedStates } from "../../src/plan/state-options.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { together } from "../../src/step/together.js";
import { fixtureStep } from "../problem.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

const bert = fixtureStep(runtime, "bert_tiny.ts.onnx", { loss: "ce", optimizer: "adam" });

function problemOf(graph: PlanProblem["graph"], copyMs: (bytes: number) => number): PlanProblem {
  const nodeMs = graph.nodes.map(() => 1);
  return {
    graph,
    nodeMs,
    rows: activationRows(graph, nodeMs, { swapMs: copyMs, swapMeasured: false }),
    budgetBytes: null,
  };
}

const joint = (count: number) =>
  together(
    runtime,
    Array.from({ length: count }, (_, i) => ({ name: `m${i}`, graph: bert })),
    1,
  );

const rankIn = (graph: PlanProblem["graph"]) => {
  const ranks = new Map(graph.nodes.map(({ name }, rank) => [name, rank]));
  return (name: string | null | undefined): number => (name ? (ranks.get(name) as number) : graph.nodes.length);
};

test("stateOptions(problem) are large states that are idle for a while: of one model not what it reads from end to end", () => {
  const problem = problemOf(bert, (bytes) => bytes / 1e5);
  assert.deepEqual(
    stateOptions(problem).map(({ name, bytes, copyMs }) => [name, bytes, copyMs]),
    ["parameters.m", "parameters.v"].map((name) => [name, 212_940, 2.1294]),
  );
  assert.deepEqual(
    stateOptions(problem, true).map(({ name }) => name),
    ["parameters", "parameters.m", "parameters.v"],
  );
  for (const constraints of [{ swap: false }, { states: false }])
    assert.deepEqual(stateOptions({ ...problem, constraints }), []);
  assert.equal(stateOptions(problemOf(joint(2), () => 1)).length, 6);
});

test("hiddenStates(problem, states) begin as late as they are in time, each direction in turn; slow copies ahead of their use only so far", () => {
  const rank = rankIn(bert);
  for (const [bytesPerMs, nodes] of [
    [1e5, 6],
    [1e3, bert.nodes.length],
  ] as const) {
    const options = stateOptions(problemOf(bert, (bytes) => bytes / bytesPerMs));
    const placed = hiddenStates({ graph: bert, nodeMs: bert.nodes.map(() => 1) }, options);
    placed.forEach(({ prefetch, outDone }, i) => {
      const { first, last } = options[i] as (typeof options)[number];
      assert.ok(rank(prefetch) <= first && rank(prefetch) >= first - nodes, `${prefetch}`);
      assert.ok(rank(outDone) > last);
    });
    // what stands beyond the step is not thrown at
    rewrite(bert, [], placed);
  }
});

test("placedInTurn(problem, groups, places) never has more groups on the device than places, however slow copies are", () => {
  for (const bytesPerMs of [1e6, 1e4, 1e2]) {
    const problem = problemOf(joint(6), (bytes) => bytes / bytesPerMs);
    const options = stateOptions(problem);
    const groups = [0, 1, 2, 3, 4, 5].map((i) => options.filter(({ name }) => name.startsWith(`m${i}/`)));
    const rank = rankIn(problem.graph);
    for (const places of [1, 2, 3]) {
      const placed = placedInTurn(problem, groups, places);
      const lives = groups.map((_, i) => {
        const own = placed.filter(({ state }) => state.startsWith(`m${i}/`));
        return [
          Math.min(...own.map(({ prefetch }) => rank(prefetch))),
          Math.max(...own.map(({ outDone }) => rank(outDone))),
        ] as const;
      });
      for (const [from] of lives) {
        const there = lives.filter(([begin, end]) => begin <= from && from < end).length;
        assert.ok(there <= places, `${there} in ${places} places`);
      }
      const peak = timeline(rewrite(problem.graph, [], placed)).peakBytes;
      const groupBytes = (groups[0] ?? []).reduce((sum, { bytes }) => sum + bytes, 0);
      assert.ok(peak <= timeline(problem.graph).peakBytes - (6 - places - 1) * groupBytes + 1e4, `${peak}`);
    }
  }
});

test("the evaluator of a step with states on the host sees them as long as its timeline does", () => {
  for (const problem of [problemOf(bert, (bytes) => bytes / 1e5), problemOf(joint(3), (bytes) => bytes / 1e5)])
    for (const busy of [false, true]) {
      const options = stateOptions(problem, busy);
      for (const placements of [hiddenStates(problem, options), waitedStates(problem.graph, options)]) {
        const { graph, nodeMs, rows } = hosted(problem, options, placements);
        const evaluator = new Evaluator(
          graph,
          nodeMs,
          rows.map(({ swapMs }) => swapMs),
        );
        const { peakBytes, totalMs } = evaluator.evaluate(new Uint8Array(rows.length));
        assert.equal(peakBytes, timeline(graph).peakBytes);
        assert.equal(totalMs, problem.graph.nodes.length);
      }
    }
});
