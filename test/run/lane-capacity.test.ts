import assert from "node:assert/strict";
import { after, test } from "node:test";
import { buildTrials } from "../../src/run/build-trials.js";
import { pairOf, timesOf } from "../../src/run/lane-capacity.js";
import { trialsOf } from "../../src/run/trials.js";
import { openCpu } from "../../src/runtime/cpu.js";
import type { Runtime } from "../../src/runtime/runtime.js";
import { together } from "../../src/step/together.js";
import { at } from "../at.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

const options = { loss: "ce", optimizer: "sgd", copies: 2, iterations: 2, warmups: 1 };
const trials = buildTrials(trialsOf(at("fixtures/mlp.ts.onnx"), options), cpu);
const members = trials.map(({ spec, baseline }) => ({ name: spec.name, graph: baseline }));
const graph = together(cpu, members);
const nodeMs = graph.nodes.map(() => 1);
const joint = { graph, nodeMs, members: ["m0", "m1"] };

/** The CPU as a device with lanes, whose steps take a share of what their nodes would at a millisecond each. */
const device = (share: number, freeBytes = 2 ** 30): Runtime => ({
  ...cpu,
  fuses: true,
  freeBytes: () => freeBytes,
  load(loaded, layout) {
    const step = cpu.load(loaded, layout);
    const measure: typeof step.measure = async (given) => {
      const measured = await step.measure(given);
      return { ...measured, step: measured.step.map(() => share * nodeMs.length) };
    };
    return { ...step, measure };
  },
});

const scene = (runtime: Runtime) => ({ runtime, options, trials, limitBytes: 2 ** 30 });

test("pairOf tells what two lanes get done at a time from a measured multiplexed step", async () => {
  const pair = await pairOf(scene(device(0.9)), joint);
  assert.ok(pair && pair.capacity > 1.05 && pair.capacity <= 2, String(pair?.capacity));
  assert.equal(pair.plain.measuredMs, 0.9 * nodeMs.length);
  assert.ok(Math.abs(pair.plain.simulatedMs / pair.plain.measuredMs - 1) < 0.01);
});

test("pairOf: nothing where lanes win nothing, do not fit, or nothing runs beside anything", async () => {
  assert.equal(await pairOf(scene(device(1.5)), joint), undefined);
  assert.equal(await pairOf(scene(device(0.9, 1)), joint), undefined);
  assert.equal(await pairOf(scene(cpu), joint), undefined);
  assert.equal(await pairOf(scene(device(0.9)), { ...joint, members: ["m0"] }), undefined);
});

test("timesOf knows copies and shifted nodes by the nodes that they are of", () => {
  const [node] = graph.nodes;
  assert.ok(node);
  const msOf = timesOf(graph, [7, ...nodeMs.slice(1)]);
  assert.deepEqual(
    ["", "@ahead", "@recompute2", "@recompute@ahead"].map((mark) => msOf({ ...node, name: `${node.name}${mark}` })),
    [7, 7, 7, 7],
  );
  assert.equal(msOf({ ...node, name: "other" }), 0);
});
