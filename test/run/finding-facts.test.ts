import assert from "node:assert/strict";
import { test } from "node:test";
import { Facts } from "../../src/run/finding-facts.js";
import { gpt2, mlp, onDevice, profiled, resnet, unplanned } from "../rule-cases.js";

test("Facts: the peak is that of the planned step, the least reachable or the unplanned one", () => {
  const peak = new Facts(resnet).peak;
  assert.equal(peak.which, "planned");
  assert.equal(peak.bytes, resnet.plan?.peakBytes);
  assert.equal(peak.timelineBytes, resnet.plan?.timelinePeakBytes);
  const sum = peak.parts.reduce((bytes, part) => bytes + part.bytes, 0);
  assert.equal(sum, peak.timelineBytes);
  const before = new Facts(unplanned(resnet)).peak;
  assert.deepEqual([before.which, before.bytes], ["unplanned", resnet.before.arenaBytes]);
  const infeasible = { ...resnet, plan: resnet.plan && { ...resnet.plan, feasible: false } };
  assert.deepEqual(
    [new Facts(infeasible).peak.which, new Facts(infeasible).peak.bytes],
    ["least reachable", resnet.plan?.minimumPeakBytes],
  );
});

test("Facts: speeds are held to the data sheet where the device is known, else to the same op's best", () => {
  const known = new Facts(resnet);
  assert.equal(known.spec?.name, "NVIDIA H100 SXM 80GB");
  assert.ok(known.speeds.length > 100 && known.speeds.every(({ row, leastMs }) => leastMs < row.time.medianMs));
  const unknown = new Facts(onDevice(resnet, { name: "another GPU" }));
  assert.equal(unknown.spec, undefined);
  const best = unknown.speeds.filter(({ row, leastMs }) => Math.abs(leastMs - row.time.medianMs) < 1e-9);
  assert.ok(best.length >= new Set(best.map(({ row }) => row.op)).size && best.length < unknown.speeds.length);
});

test("Facts: commands, and how they differ from the run's own", () => {
  const facts = new Facts(resnet);
  const { command, flags, options } = facts.tries({ dims: { batch: 4 } }, ["budget"]);
  assert.match(command ?? "", /--dim batch=4 --backend cuda --planner mutwo --no-swap$/);
  assert.equal(flags, "--dim batch=4, without --budget");
  assert.deepEqual(options?.dims, { batch: 4 });
  assert.equal(facts.unplanned().flags, "without a plan");
  assert.match(facts.unplanned().command ?? "", /--dim batch=8 --backend cuda$/);
  assert.deepEqual(new Facts(profiled(gpt2, { backend: "tables" })).unplanned(), {});
  assert.deepEqual([new Facts(mlp).isGpu, facts.isGpu], [false, true]);
});
