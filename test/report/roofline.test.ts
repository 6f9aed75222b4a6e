import assert from "node:assert/strict";
import { test } from "node:test";
import { fastest, phaseTimes, roofline, rooflinePoints, timeByPhase } from "../../src/report/roofline.js";
import { goldenRun } from "../golden-run.js";

const run = goldenRun("gpt2-h100");

test("rooflinePoints(run): operations a byte times bytes a second are operations a second", () => {
  const points = rooflinePoints(run);
  assert.ok(points.length > 20);
  for (const { intensity, gbs, gflops } of points) assert.ok(Math.abs(intensity * gbs - gflops) < 1e-9 * gflops);
});

test("roofline(run) draws a roof that no node is above", () => {
  const points = rooflinePoints(run);
  const most = fastest(points);
  for (const { intensity, gflops } of points)
    assert.ok(gflops <= Math.min(most.gflops, intensity * most.gbs) * (1 + 1e-9));
  const roof = roofline(run)?.data.at(-1) as { name: string; y: number[] };
  assert.equal(roof.name, "fastest seen in this run");
  assert.ok(Math.max(...roof.y) <= most.gflops);
});

test("roofline(run) is null where no node computes", () => {
  const nodes = run.before.nodes.map((row) => ({ ...row, flops: 0 }));
  assert.equal(roofline({ ...run, before: { ...run.before, nodes } }), null);
});

test("timeByPhase(run) sums the nodes' times", () => {
  const all = phaseTimes(run).reduce((sum, { ms }) => sum + ms, 0);
  assert.ok(Math.abs(all - run.before.nodesMs) < 1e-9 * all);
  const [{ x }] = timeByPhase(run).data as [{ x: number[] }];
  assert.equal(x.length, phaseTimes(run).length);
});
