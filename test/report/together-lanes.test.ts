import assert from "node:assert/strict";
import { test } from "node:test";
import { runSummary } from "../../src/commands/summary.js";
import { reportHtml } from "../../src/report/report.js";
import { togetherLanes, togetherPieces } from "../../src/report/together-lanes.js";
import { profileModel } from "../../src/run/pipeline.js";
import { at } from "../at.js";

test("togetherPieces(run) are the models of a joint step beside each other in time, phase by phase", async () => {
  const options = { loss: "ce", optimizer: "sgd", copies: 3, threads: 1, iterations: 2, warmups: 1 };
  const run = await profileModel(at("fixtures/mlp.ts.onnx"), { ...options, arrange: "side-by-side" });
  const pieces = togetherPieces(run);
  assert.deepEqual(pieces?.rows, ["m0", "m1", "m2"]);
  const of = (row: string) => pieces?.bars.filter((bar) => bar.row === row) ?? [];
  assert.deepEqual([...new Set(of("m1").map(({ what }) => what))], ["forward", "backward", "update"]);
  // one lane: one after the other
  assert.ok(Math.max(...of("m0").map(({ endMs }) => endMs)) <= (of("m1")[0]?.beginMs ?? 0));
  assert.equal(togetherLanes(run)?.data.length, 3);
  const { together: _, ...single } = run;
  assert.equal(togetherLanes(single), null);
});

test("togetherPieces(run) of a multiplexed step has a row for each sub-array, from the step that was executed", async () => {
  const options = { loss: "ce", optimizer: "sgd", copies: 4, threads: 1, iterations: 2, warmups: 1 };
  const run = await profileModel(at("fixtures/mlp.ts.onnx"), { ...options, arrange: "multiplexed", budget: "100%" });
  const { ring } = run.plan ?? {};
  assert.ok(ring && run.after);
  const pieces = togetherPieces(run);
  const labels = new Map([
    [2, ["f0: m0, m1", "f1: m2, m3"]],
    [4, ["m0", "m1", "m2", "m3"]],
  ]);
  assert.deepEqual(pieces?.arrays, labels.get(ring.members.length));
  // the first member ends with the forward phase of the next step, after its update; the others begin with theirs
  const kinds = (row?: string): string[] => pieces?.bars.flatMap((bar) => (bar.row === row ? [bar.what] : [])) ?? [];
  assert.deepEqual(kinds(pieces?.arrays[0]).slice(-2), ["update", "forward"]);
  assert.equal(kinds(pieces?.arrays[1])[0], "forward");
  assert.equal(kinds(pieces?.arrays[1]).at(-1), "update");
  const html = reportHtml(run);
  assert.match(html, /<h3>Partitions<\/h3>/);
  assert.match(runSummary(run), /sub-arrays of .* verdict/);
});
