import assert from "node:assert/strict";
import { after, test } from "node:test";
import { executedGraph, plannedRing } from "../../src/plan/executed.js";
import { multiplex } from "../../src/plan/multiplex/multiplex.js";
import { rewrite } from "../../src/plan/rewrite.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { alone, jointOf } from "../multiplexed.js";
import { modelledMs } from "../problem.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

test("executedGraph(graph, plan) is the rewritten step, and the multiplexed one of a plan with a ring, also read from JSON", () => {
  const members = [0, 1].map((seed) =>
    alone(runtime, `m${seed}`, "resnet_bottleneck_dynamic.onnx", { loss: "ce", optimizer: "sgd", batch: 8, seed }),
  );
  const graph = jointOf(runtime, members);
  const problem = { graph, nodeMs: modelledMs(graph), members: ["m0", "m1"], swapMs: () => 1, swapMeasured: false };
  const free = multiplex({ ...problem, budgetBytes: null, lags: [0.5] });
  const found = multiplex({ ...problem, budgetBytes: Math.floor(0.8 * free.peakBytes), lags: [0.5], stages: 3 });
  const { decisions, ring } = found;
  assert.ok(decisions.length > 0);
  const plan = JSON.parse(JSON.stringify({ decisions, ring: plannedRing(ring) }));
  const { graph: executed, rotation } = executedGraph(graph, plan);
  assert.deepEqual(executed.nodes, found.graph.nodes);
  assert.deepEqual(rotation?.carried, found.rotation?.carried);
  const { ring: _, ...plain } = plan;
  assert.deepEqual(executedGraph(graph, plain), { graph: rewrite(graph, plain.decisions) });
});
