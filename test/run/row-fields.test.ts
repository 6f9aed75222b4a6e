import assert from "node:assert/strict";
import { test } from "node:test";
import type { ActivationRow } from "../../src/memory/activation-rows.js";
import type { NodeRow } from "../../src/run/node-rows.js";
import { hintedRow, noHints, placedRow } from "../../src/run/row-fields.js";
import { loadGraph } from "../../src/run/run.js";
import { wiring } from "../../src/run/wiring.js";
import { goldenRun } from "../golden-run.js";

const run = goldenRun("resnet-h100");

test("hintedRow(row) keeps every field of the row, and adds what the graph and the plan say", () => {
  const row = run.before.nodes.at(-1) as NodeRow;
  const wired = wiring(loadGraph(run.graph)).at(-1);
  const { gtype, inPeakInterval, ...rest } = hintedRow(row, wired, noHints, null);
  assert.deepEqual(rest, { ...row, ...wired, ...noHints });
  assert.deepEqual([gtype, inPeakInterval], ["backward", null]);
});

test("placedRow(row) keeps every field of the row, and adds copies and residence", () => {
  const row = run.before.activations[0] as ActivationRow;
  const copied = { swapOutMs: 1, swapInMs: 2, inPeakInterval: true };
  const residence = {
    prefetchPrompt: "a",
    activeForward: { first: 1, last: 2 },
    activeBackward: { first: 3, last: 4 },
  };
  assert.deepEqual(placedRow(row, copied, residence), { ...row, ...copied, ...residence });
});
