import assert from "node:assert/strict";
import { test } from "node:test";
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
