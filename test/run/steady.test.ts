import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { Graph } from "../../src/graph/graph.js";
import { multiplex } from "../../src/plan/multiplex/multiplex.js";
import { type Stepping, steadyValues, stepping } from "../../src/run/steady.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { alone, jointOf } from "../multiplexed.js";
import { modelledMs } from "../problem.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

const members = [0, 1].map((seed) =>
  alone(runtime, `m${seed}`, "resnet_bottleneck_dynamic.onnx", { loss: "ce", optimizer: "adam", batch: 8, seed }),
);
const graph = jointOf(runtime, members);
const values = new Map(
  members.flatMap(({ name, values: own }) => [...own].map(([key, bytes]) => [`${name}/${key}`, bytes] as const)),
);
const nodeMs = modelledMs(graph);
const problem = { graph, nodeMs, members: ["m0", "m1"], swapMs: () => 1, swapMeasured: false };
const free = multiplex({ ...problem, budgetBytes: null });
const { rotation } = multiplex({ ...problem, budgetBytes: Math.floor(0.8 * free.peakBytes) });
assert.ok(rotation);

/** All that can be asked of some steps: what each makes, and what it leaves. */
async function trace(step: Stepping, joint: Graph, steps: number): Promise<Map<string, Buffer>> {
  const made = new Set([joint.loss as string, ...joint.state.map((pair) => pair.after)]);
  const all = new Map<string, Buffer>();
  try {
    for (let i = 1; i <= steps; i++) {
      const { observed } = await step.run({ observe: made, last: i === steps });
      for (const name of made) all.set(`${name} in step ${i}`, Buffer.from(observed.get(name) ?? []));
      for (const { before } of joint.state) all.set(`${before} after step ${i}`, Buffer.from(step.read(before)));
    }
    return all;
  } finally {
    step.close();
  }
}

test("stepping(multiplexed): steps and the last one make and leave what those of the joint step in turn do, bit by bit", async () => {
  assert.ok(rotation.renewed.length > 0, "running statistics");
  const expected = await trace(await stepping({ graph }, runtime, values), graph, 3);
  const executed = { graph: rotation.graph, rotation };
  const actual = await trace(await stepping(executed, runtime, values, graph), graph, 3);
  assert.ok([...expected.values()].every(({ length }) => length > 0));
  assert.deepEqual(
    [...expected].flatMap(([name, bytes]) => (actual.get(name)?.equals(bytes) ? [] : [name])),
    [],
  );
});

test("steadyValues are those of the joint step, and what the prologue leaves", async () => {
  const own = await steadyValues(rotation, runtime, values);
  for (const [name, bytes] of values)
    assert.equal(Buffer.compare(own.get(name) as Uint8Array, bytes) === 0, !rotation.renewed.includes(name), name);
  for (const name of rotation.carried.values()) assert.ok(own.has(name), name);
  const ahead = rotation.graph.inputs.filter((name) => name.endsWith("@ahead"));
  assert.ok(ahead.length > 0);
  for (const name of ahead)
    assert.equal(own.get(name), (values as ReadonlyMap<string, Uint8Array>).get(name.slice(0, -"@ahead".length)));
});
