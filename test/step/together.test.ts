import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { Graph } from "../../src/graph/graph.js";
import { gradientOf } from "../../src/graph/names.js";
import { activationRows } from "../../src/memory/activation-rows.js";
import { layout } from "../../src/memory/layout.js";
import { peakBytes } from "../../src/memory/liveness.js";
import { readModel } from "../../src/model/read.js";
import { planGraph } from "../../src/plan/planners/index.js";
import { rewrite } from "../../src/plan/rewrite.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { loadWithValues } from "../../src/runtime/load.js";
import { initialValues } from "../../src/step/initial.js";
import { stepFor } from "../../src/step/step.js";
import { type Member, together } from "../../src/step/together.js";
import type { TrainingOptions } from "../../src/step/training.js";
import { at } from "../at.js";
import { overlaps } from "../overlaps.js";
import { randomGraph } from "../random-graph.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

interface Alone extends Member {
  readonly values: ReadonlyMap<string, Uint8Array>;
  readonly observe: ReadonlySet<string>;
}

/** A model's own step, its first values, and all that it computes which somebody could ask for. */
function alone(name: string, forward: Graph, options: TrainingOptions, seed: number): Alone {
  const { step, baseline: graph } = stepFor(runtime, forward, options, seed);
  const trained = [...graph.tensors.values()].filter((t) => t.category === "parameter" && t.within);
  const gradients = trained.flatMap((t) => gradientOf(graph, t.name) ?? []);
  const observe = new Set([graph.loss as string, ...gradients, ...graph.state.map((pair) => pair.after)]);
  return { name, graph, values: initialValues(graph, step, seed), observe };
}

const read = (file: string, dims: Readonly<Record<string, number>> = {}): Graph =>
  readModel(at(`fixtures/${file}`), { dims, runtime }).graph;

/** Models of several architectures, optimizers, precisions and seeds, two of them the same but for their seed. */
const models = (): Alone[] => [
  alone("m0", read("mlp.ts.onnx"), { loss: "ce", optimizer: "sgd:lr=0.1" }, 0),
  alone("m1", read("mlp.ts.onnx"), { loss: "ce", optimizer: "adam:lr=1e-3", clipNorm: 0.1 }, 0),
  alone("m2", read("dropout_block.onnx", { batch: 4 }), { loss: "mse", optimizer: "adamw" }, 1),
  alone("m3", read("dropout_block.onnx", { batch: 4 }), { loss: "mse", optimizer: "adamw" }, 2),
  alone("m4", read("resnet_basic.ts.onnx"), { loss: "ce", optimizer: "sgd", accumulate: 2 }, 0),
  alone("m5", read("mlp.ts.onnx"), { loss: "ce", optimizer: "sgd", precision: "float64" }, 0),
];

const steps = 3;

/** All that was observed in some steps, by name and step, under names that begin with a prefix. */
async function observed(
  graph: Graph,
  values: ReadonlyMap<string, Uint8Array>,
  observe: ReadonlySet<string>,
  prefix = "",
): Promise<Map<string, Buffer>> {
  const { step, arenaBytes } = loadWithValues(graph, runtime, values);
  assert.equal(step.allocatedBytes, arenaBytes);
  try {
    const found = new Map<string, Buffer>();
    for (let i = 1; i <= steps; i++)
      for (const [name, bytes] of (await step.run({ observe })).observed)
        found.set(`${prefix}${name} in step ${i}`, Buffer.from(bytes));
    return found;
  } finally {
    step.close();
  }
}

async function assertAsAlone(members: readonly Alone[], joint: Graph): Promise<void> {
  const named = <T>(list: Iterable<T>, name: string, put: (item: T) => readonly [string, Uint8Array]) =>
    [...list].map((item) => put(item)).map(([own, bytes]) => [`${name}/${own}`, bytes] as const);
  const values = new Map(members.flatMap(({ name, values }) => named(values, name, (entry) => entry)));
  const observe = new Set(members.flatMap(({ name, observe }) => [...observe].map((own) => `${name}/${own}`)));
  const actual = await observed(joint, values, observe);
  let compared = 0;
  for (const { name, graph, values, observe } of members)
    for (const [what, bytes] of await observed(graph, values, observe, `${name}/`)) {
      assert.ok(actual.get(what)?.equals(bytes), `${what} is another`);
      compared++;
    }
  assert.equal(compared, steps * observe.size);
}

for (const lanes of [1, 2, 7])
  test(`together(runtime, members, ${lanes}): losses, gradients and states of every model are those alone, bit by bit`, async () => {
    const members = models();
    const joint = together(runtime, members, lanes);
    assert.deepEqual(overlaps(joint), []);
    await assertAsAlone(members, joint);
  });

for (const lanes of [1, 2, 7])
  test(`a joint step planned within a budget, ${lanes} lanes: every model as alone, bit by bit`, async () => {
    const large = read("resnet_bottleneck_dynamic.onnx", { batch: 32 });
    const members = [...models(), alone("m6", large, { loss: "ce", optimizer: "adam" }, 0)];
    const joint = together(runtime, members, lanes);
    const nodeMs = joint.nodes.map(() => 1);
    const rows = activationRows(joint, nodeMs, { swapMs: (bytes) => bytes / 1e4, swapMeasured: false });
    const whole = layout(joint).arenaBytes;
    const budgetBytes = Math.round(0.85 * whole);
    const plan = planGraph({ graph: joint, nodeMs, rows, effort: { moves: 300 }, budgetBytes, planner: "best" });
    assert.ok(plan.feasible);
    const planned = rewrite(joint, plan.decisions, plan.states);
    assert.ok(layout(planned).arenaBytes <= budgetBytes);
    assert.ok(planned.nodes.length > joint.nodes.length);
    assert.deepEqual(planned.trials, joint.trials);
    await assertAsAlone(members, planned);
  });

test("models of one lane share the place of what they hold in between, models of several do not", () => {
  const member = alone("m", read("resnet_basic.ts.onnx"), { loss: "ce", optimizer: "sgd" }, 0);
  const members = [1, 2, 3, 4].map((i): Member => ({ ...member, name: `m${i}` }));
  const one = peakBytes(member.graph);
  const turn = peakBytes(together(runtime, members));
  const once = peakBytes(together(runtime, members, 4));
  assert.ok(turn < 4 * one && turn < once, `${one} ${turn} ${once}`);
  const lanesOf = (lanes: number) =>
    together(runtime, members, lanes).nodes.map(({ name, lane = 0 }) => [name.slice(0, 2), lane].join());
  assert.deepEqual([...new Set(lanesOf(2))].sort(), ["lo,0", "m1,0", "m2,1", "m3,0", "m4,1"]);
});

test("models of random graphs and of 16 bits compute together what they compute alone", async () => {
  const members = [1, 2, 3, 4, 5].map((seed) =>
    alone(`r${seed}`, randomGraph(seed).graph, { loss: "mse", optimizer: seed % 2 ? "sgd" : "adam" }, seed),
  );
  const mixed = alone("half", read("mlp.ts.onnx"), { loss: "ce", optimizer: "adam", precision: "mixed" }, 3);
  for (const lanes of [1, 3]) await assertAsAlone([...members, mixed], together(runtime, [...members, mixed], lanes));
});

test("a joint graph says which models it trains, sums up their losses and keeps where their nodes come from", async () => {
  const members = models().slice(0, 2);
  const joint = together(runtime, members);
  assert.deepEqual(joint.trials, [
    { name: "m0", array: "m0", loss: "m0/loss" },
    { name: "m1", array: "m1", loss: "m1/loss" },
  ]);
  assert.equal(joint.loss, "loss");
  assert.deepEqual(joint.outputs, ["m0/loss", "m1/loss", "loss"]);
  const values = new Map(
    members.flatMap(({ name, values }) => [...values].map(([own, bytes]) => [`${name}/${own}`, bytes] as const)),
  );
  const found = await observed(joint, values, new Set(joint.outputs));
  const of = (name: string): number => (found.get(`${name} in step 1`) as Buffer).readFloatLE();
  assert.equal(of("loss"), Math.fround(of("m0/loss") + of("m1/loss")));
  const paths = joint.origins?.modules.map(({ path }) => path) ?? [];
  assert.ok(
    paths.every((path) => /^m[01](\.|$)/.test(path)),
    paths.join(),
  );
  const again = together(runtime, [{ name: "pair", graph: joint }, members[0] as Member]);
  assert.deepEqual(
    again.trials?.map(({ array, loss }) => [array, loss]),
    [
      ["pair/m0", "pair/m0/loss"],
      ["pair/m1", "pair/m1/loss"],
      ["m0", "m0/loss"],
    ],
  );
});

test("together(members) refuses names that meet, names with slashes, graphs without a loss, and nothing", () => {
  const [member] = models() as [Alone];
  const of = (names: string[]) =>
    together(
      runtime,
      names.map((name) => ({ ...member, name })),
    );
  assert.throws(() => of(["a", "b", "a"]), /^Error: names that meet: two models are called a /);
  assert.throws(() => of(["a/b"]), /^Error: name of a model is not letters, digits and \. _ -: a\/b$/);
  assert.throws(() => of([]), /^Error: no models to train together$/);
  const { loss: _, ...graph } = member.graph;
  assert.throws(() => together(runtime, [{ name: "a", graph }]), /^Error: not a training step: .* \(model a\)$/);
  // the sum of losses does not take the name of a model
  assert.equal(of(["loss", "b"]).loss, "loss_");
});
