import assert from "node:assert/strict";
import { test } from "node:test";
import { captions } from "../../src/report/captions.js";
import { goldenRun } from "../golden-run.js";

const gpt2 = goldenRun("gpt2-h100");

const caption = (name: string, run = gpt2): string => captions[name]?.(run) ?? "";

test("captions.byPhase(run) has shares of all node time", () => {
  const shares = [...caption("byPhase").matchAll(/([\d.]+) %/g)].map(([, share]) => Number(share));
  assert.equal(shares.length, 4);
  assert.ok(Math.abs(shares.reduce((sum, share) => sum + share, 0) - 100) < 0.3);
});

test("captions.runTime(run) names the slowest node, and says so where none takes time", () => {
  const slowest = gpt2.before.nodes.reduce((a, z) => (z.time.medianMs > a.time.medianMs ? z : a));
  assert.ok(caption("runTime").includes(slowest.name));
  const nodes = gpt2.before.nodes.map((row) => ({ ...row, time: { ...row.time, medianMs: 0 } }));
  assert.equal(caption("runTime", { ...gpt2, before: { ...gpt2.before, nodes } }), "No node takes time.");
});

test("captions.liveRanges(run) says what the plan frees only where there is one", () => {
  assert.match(caption("liveRanges"), /The plan frees /);
  assert.doesNotMatch(caption("liveRanges", { ...gpt2, plan: null }), /plan/);
});

test("captions.predicted(run) shows no time of a planned step that nobody measured as measured", () => {
  assert.match(caption("predicted", { ...gpt2, after: null }), /Planned: .*not executed; step [\d.]+ .?s predicted\.$/);
});
