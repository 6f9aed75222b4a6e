import assert from "node:assert/strict";
import { test } from "node:test";
import { randomFrom } from "../../../src/graph/random.js";
import { activationRows } from "../../../src/memory/activation-rows.js";
import { peakBytes, timeline } from "../../../src/memory/liveness.js";
import { Evaluator } from "../../../src/plan/evaluator.js";
import { ringOf } from "../../../src/plan/multiplex/ring.js";
import { steadyOf } from "../../../src/plan/multiplex/steady.js";
import { judge } from "../../../src/plan/planners/prefix.js";
import { alone } from "../../../src/plan/schedule.js";
import { pairGraph } from "../../pair.js";

const graph = pairGraph();
const nodeMs = graph.nodes.map(() => 1);
const rows = activationRows(graph, nodeMs, { swapMs: () => 0.5, swapMeasured: false });
const members = ["m0", "m1"];

test("steadyOf.fold: the peak is that of the executed graph's timeline, whatever is made again", () => {
  const random = randomFrom(1);
  for (const lag of [0, 0.3, 0.7, 1]) {
    const steady = steadyOf(graph, ringOf(graph, nodeMs, members, { lag, stages: 0 }), 1);
    const evaluator = new Evaluator(
      graph,
      nodeMs,
      rows.map(({ swapMs }) => swapMs),
      undefined,
      steady,
    );
    for (let trial = 0; trial < 8; trial++) {
      const actions = Uint8Array.from(rows, ({ fixed }) => (fixed === null && trial && random() < 0.5 ? alone : 0));
      const choices = rows.flatMap(({ name, memoryBytes }, i) =>
        actions[i]
          ? [
              {
                activation: name,
                action: "recompute" as const,
                savedBytes: memoryBytes,
                recomputeRatio: 1,
                inactiveMs: 1,
                why: "",
              },
            ]
          : [],
      );
      const judged = judge({ graph, nodeMs, rows, budgetBytes: null, steady }, choices);
      const known = evaluator.evaluate(actions);
      // but for losses that are copied out, and for what is carried, over which no node writes
      const most = 2 * 256 + 16;
      assert.ok(Math.abs(known.peakBytes - judged.peakBytes) <= most, `${known.peakBytes} ${judged.peakBytes}`);
      assert.equal(judged.peakBytes, peakBytes(judged.graph()));
      assert.ok(Math.abs(known.totalMs - nodeMs.length - judged.addedMs) < 1e-9);
    }
  }
});

test("steadyOf.fold: what lives beside a node counts at the ranks of both", () => {
  const steady = steadyOf(graph, ringOf(graph, nodeMs, members, { lag: 0, stages: 0 }), 1);
  const { totalBytes, residentBytes } = timeline(graph);
  const live = Float64Array.from(totalBytes);
  const peak = steady.fold(live, residentBytes);
  assert.ok(live.every((bytes, rank) => bytes >= (totalBytes[rank] as number)));
  assert.ok([0, 1].every((member) => live.subarray(6 * member, 6 * member + 6).includes(peak)));
  assert.equal(graph.nodes[steady.join]?.name, "m0/db");
});
