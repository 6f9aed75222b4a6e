import assert from "node:assert/strict";
import { test } from "node:test";
import { differencesOf } from "../../src/run/differences.js";
import { samplesOf } from "../../src/run/samples.js";
import { goldenRun } from "../golden-run.js";

const base = goldenRun("resnet-h100");

/** The same run, one node slower, one gone and one more, an activation larger, another batch. */
function changed() {
  const [first, second, ...rest] = base.before.nodes;
  const [activation, ...others] = base.before.activations;
  const slower = { ...first!, time: samplesOf(first!.time.samplesMs.map((ms) => ms + 1000)) };
  return {
    ...base,
    id: "changed",
    model: { ...base.model, dims: { batch: 9 } },
    before: {
      ...base.before,
      nodes: [slower, ...rest, { ...second!, name: "new" }],
      activations: [{ ...activation!, memoryBytes: activation!.memoryBytes + 7 }, ...others],
    },
  };
}

test("differencesOf(runs): nodes by name, the largest difference in time first; what only one has", () => {
  const { nodes } = differencesOf([base, changed()]);
  const [first] = nodes[0]!;
  assert.equal(first?.name, base.before.nodes[0]?.name);
  assert.ok(Math.abs(first!.difference - 1000) < 1e-9 && first!.isClear);
  const find = (name: string) => nodes[0]?.find((row) => row.name === name);
  assert.equal(find("new")?.base, null);
  assert.equal(find(base.before.nodes[1]!.name)?.other, null);
  assert.equal(nodes[0]?.length, base.before.nodes.length + 1);
  const same = find(base.before.nodes[2]!.name);
  assert.deepEqual([same?.difference, same?.isClear], [0, false]);
});

test("differencesOf(runs): modules by the time of their own nodes and by what they hold at the peak", () => {
  const { modules, holders } = differencesOf([base, { ...base, before: changed().before, graph: base.graph }]);
  assert.ok(Math.abs(modules[0]![0]!.difference - 1000) < 1, "the slower node's module");
  const sum = modules[0]!.reduce((total, { difference }) => total + difference, 0);
  const expected = changed().before.nodes.reduce((total, { time }) => total + time.medianMs, 0) - base.before.nodesMs;
  assert.ok(Math.abs(sum - expected) < 1e-6, `${sum} ${expected}`);
  assert.deepEqual(holders, [[]], "the same graph");
});

test("differencesOf(runs): activations that differ, settings that differ, all figures that any run has", () => {
  const { activations, settings, figures } = differencesOf([base, changed(), base]);
  assert.deepEqual(
    activations.map((list) => list.map(({ difference }) => difference)),
    [[7], []],
  );
  assert.deepEqual(settings, [{ name: "dimensions", values: ["batch = 8", "batch = 9", "batch = 8"] }]);
  for (const { values } of figures) {
    assert.equal(values.length, 3);
    assert.equal(values[0], values[2]);
  }
});

test("differencesOf(runs) takes two runs or more", () => {
  assert.throws(() => differencesOf([base]), { message: "comparing takes two runs or more: 1 given" });
});
