import assert from "node:assert/strict";
import { after, test } from "node:test";
import { type Graph, producers } from "../../src/graph/graph.js";
import { layout } from "../../src/memory/layout.js";
import { readModel } from "../../src/model/read.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { loadWithValues } from "../../src/runtime/load.js";
import { earlyUpdates } from "../../src/step/early-updates.js";
import { fuseTrials } from "../../src/step/fused-trials.js";
import { initialValues } from "../../src/step/initial.js";
import { at } from "../at.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

const options = { loss: "ce", optimizer: "adam:lr=0.01" };
const { graph } = readModel(at("fixtures", "resnet_basic.ts.onnx"), { runtime: cpu });
const members = ["m0", "m1"].map((name, seed) => ({ name, graph, options, seed }));

test("earlyUpdates(step) moves updates between gradients, each behind what it needs, and no bit changes", async () => {
  const { step, baseline: early } = fuseTrials(cpu, members, { besideFrom: 1 });
  // the same nodes with the update at the end
  const isUpdate = ({ phase }: Graph["nodes"][number]): boolean => phase === "update";
  const late = { ...early, nodes: [...early.nodes.filter((n) => !isUpdate(n)), ...early.nodes.filter(isUpdate)] };
  const again = earlyUpdates(late, 8);
  assert.deepEqual(new Set(again.nodes.map(({ name }) => name)), new Set(late.nodes.map(({ name }) => name)));
  const made = producers(again);
  again.nodes.forEach(({ inputs }, rank) => {
    for (const name of inputs) assert.ok((made.get(name) ?? -1) < rank, name);
  });
  const firstUpdate = again.nodes.findIndex(({ inputs, phase }) => phase === "update" && inputs.length > 2);
  assert.ok(firstUpdate < again.nodes.findLastIndex(({ phase }) => phase === "backward"));
  assert.ok(again.nodes.every((node) => !isUpdate(node) || node.lane === 8));
  // what writes over parameters that are still read would be refused
  assert.ok(layout(again).arenaBytes > 0);
  const states = async (one: Graph): Promise<Uint8Array[]> => {
    const { step: loaded } = loadWithValues(one, cpu, initialValues(one, step, 3));
    for (let i = 0; i < 3; i++) await loaded.run();
    const values = one.state.map(({ before }) => loaded.read(before).slice());
    loaded.close();
    return values;
  };
  assert.deepEqual(await states(again), await states(late));
});
