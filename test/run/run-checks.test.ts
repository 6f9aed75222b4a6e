import { test } from "node:test";
import { goldenRun } from "../golden-run.js";
import { refuses } from "../refusals.js";

const golden = goldenRun("resnet-h100");

test("contradictionIn(run) says where tables, timeline and plan do not fit the graph", () => {
  const { before } = golden;
  const bytes = before.activations[0]?.memoryBytes as number;
  refuses(golden, [
    ["before.nodes", before.nodes.slice(1), "run contradicts itself: before.nodes has 151 rows for 152 nodes"],
    ["before.nodes.0.name", "other", /^run contradicts itself: before\.nodes\[0\]\.name is "other", not /],
    ["before.nodes.2.outputBytes", 1, /^run contradicts itself: before\.nodes\[2\]\.outputBytes is 1, not \d+$/],
    ["before.nodes.0.liveBytes", 1, /^run contradicts itself: before\.nodes\[0\]\.liveBytes is 1, not \d+$/],
    ["before.nodes.0.firstBackwardUses", ["x"], /^run contradicts itself: before\.nodes\[0\]\.firstBackwardUses is /],
    ["before.activations", [], "run contradicts itself: before.activations has 0 rows, and 80 are saved"],
    [
      "before.activations.0.memoryBytes",
      bytes + 4,
      `run contradicts itself: before.activations[0].memoryBytes is ${bytes + 4}, not ${bytes}`,
    ],
    ["before.activations.0.recomputeNodes", ["x"], /recomputeNodes\[0\] is "x", which is no node$/],
    ["before.timeline.totalBytes", [], "run contradicts itself: before.timeline.totalBytes has 0 values for 152 nodes"],
    ["before.timeline.totalBytes.7", 1, /^run contradicts itself: before\.timeline\.totalBytes\[7\] is 1, not \d+$/],
    ["before.timeline.peakBytes", 1, "run contradicts itself: before.timeline.peakBytes is 1, not 1340020"],
    ["before.timeline.peakRank", 5, "run contradicts itself: before.timeline.peakRank is 5, not 93"],
    ["before.arenaBytes", 5, "run contradicts itself: before.arenaBytes is 5, less than its peak of 1340020"],
    [
      "before.peakHolders.0.bytes",
      5,
      /^run contradicts itself: before\.peakHolders hold \d+ bytes of a peak of 1340020$/,
    ],
    ["before.step.medianMs", 900, /^run contradicts itself: before\.step\.medianMs is 900, and its samples from /],
    ["before.workspaceBytes", 1, "run contradicts itself: before.workspaceBytes is 1, and 6400 of one of the nodes"],
    [
      "plan.decisions.0.activation",
      "ghost",
      'run contradicts itself: plan.decisions[0].activation is "ghost", which is no saved activation',
    ],
    ["plan.decisions.1", golden.plan?.decisions[0], /^run contradicts itself: plan\.decisions\[1\] is a second /],
    [
      "plan.decisions.0.swap",
      { outDone: "ghost", prefetch: "ghost" },
      "run contradicts itself: plan.decisions[0].swap, and it is a recompute",
    ],
    ["plan.kept", 3, "run contradicts itself: plan.kept is 3, with 4 decisions on 80 activations"],
    ["plan.peakBytes", 2 ** 40, /^run contradicts itself: plan\.feasible is true, and its peak/],
    ["plan", null, "run contradicts itself: after is there, and plan is null"],
    ["after.timeline.peakBytes", 1, /^run contradicts itself: after\.timeline\.peakBytes is 1, not \d+$/],
  ]);
});
