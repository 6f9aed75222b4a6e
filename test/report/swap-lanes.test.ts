import assert from "node:assert/strict";
import { test } from "node:test";
import { runLanes, swapLanes } from "../../src/report/swap-lanes.js";
import { goldenRun } from "../golden-run.js";

const gpt2 = goldenRun("gpt2-h100");

test("runLanes(run) copies each swapped activation once each way, as long as its row says", () => {
  const lanes = runLanes(gpt2);
  const swapped = gpt2.plan?.decisions.map(({ activation }) => activation).sort();
  for (const pieces of [lanes?.toHost, lanes?.toDevice]) {
    assert.deepEqual(pieces?.map(({ name }) => name).sort(), swapped);
    for (const { name, startMs, endMs } of pieces ?? []) {
      const row = gpt2.before.activations.find((one) => one.name === name);
      assert.ok(Math.abs(endMs - startMs - (row?.swapMs ?? 0)) < 1e-9, name);
    }
  }
});

test("swapLanes(run) has a lane for computation, stalls and copies each way; none where nothing is swapped", () => {
  assert.deepEqual(
    swapLanes(gpt2)?.data.map((trace) => (trace as { name: string }).name),
    ["copies to the device", "copies to the host", "stalls: nodes wait", "computation"],
  );
  assert.equal(swapLanes(goldenRun("resnet-h100")), null);
});
