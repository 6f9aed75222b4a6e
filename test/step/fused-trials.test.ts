import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseGraph } from "../../src/build/parse.js";
import { type Graph, prune, type Tensor, tensorBytes, tensorOf } from "../../src/graph/graph.js";
import { valuesOf } from "../../src/graph/values.js";
import { readModel } from "../../src/model/read.js";
import { openCpu } from "../../src/runtime/cpu.js";
import type { FusedMember } from "../../src/step/fusable.js";
import { type FusingOptions, fuseTrials } from "../../src/step/fused-trials.js";
import { ratesAt } from "../../src/step/optimizer.js";
import { stepFor } from "../../src/step/step.js";
import type { StepOptions } from "../../src/step/training.js";
import { at } from "../at.js";
import { type LoadedTrials, loadTrials, numbersOf, perceptron } from "../fused.js";
import { randomGraph } from "../random-graph.js";
import { distance } from "../sampled.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

const read = (name: string, dims = {}): Graph => readModel(at("fixtures", name), { dims, runtime: cpu }).graph;

/** Members of one graph, each with the options in turn. */
const membersOf = (graph: Graph, ...options: readonly StepOptions[]): FusedMember[] =>
  [0, 1, 2].map((i) => ({
    name: `m${i}`,
    graph,
    options: options[i % options.length] as StepOptions,
    seed: 10 + i,
  }));

/** The parts of flat buffers, and the states of their own: what each member has of each. */
function partsOf({ alone, fused }: LoadedTrials): { name: string; all: number[]; own: number[][] }[] {
  const [first] = alone;
  if (!first) return [];
  const made = new Set(fused.graph.nodes.flatMap(({ outputs }) => outputs));
  const residents = [...first.graph.tensors.values()].filter(
    ({ name, category, within }) =>
      !made.has(name) &&
      fused.graph.tensors.has(name) &&
      (category === "buffer" || (category === "parameter" && within)),
  );
  return residents.flatMap((tensor) => [
    { name: tensor.name, all: numbersOf(fused, tensor.name), own: alone.map((one) => numbersOf(one, tensor.name)) },
    ...statesOf(fused.graph, tensorOf(fused.graph, tensor.name)).map((state) => ({
      name: `${state} of ${tensor.name}`,
      all: withinFlat(fused, tensor, state),
      // one without momentum has no velocity alone
      own: alone.map((one) =>
        statesOf(one.graph, tensorOf(one.graph, tensor.name)).includes(state) ? withinFlat(one, tensor, state) : [],
      ),
    })),
  ]);
}

/** Names of the optimizer's states of a parameter (`m`, `velocity`), which lie in flat buffers as the parameter does. */
function statesOf(graph: Graph, { within }: Tensor): string[] {
  const states = ["velocity", "m", "v"];
  return within ? states.filter((state) => graph.tensors.has(`${within.tensor}.${state}`)) : [];
}

function withinFlat({ graph, step }: LoadedTrials["fused"], { name }: Tensor, state: string): number[] {
  const own = tensorOf(graph, name);
  const flat = `${own.within?.tensor}.${state}`;
  const { offsetBytes = 0 } = own.within ?? {};
  const bytes = step.read(flat).slice(offsetBytes, offsetBytes + tensorBytes(own));
  return valuesOf(own.dtype, bytes);
}

interface Compared {
  /** Whether all losses, parameters, statistics and states are equal bit by bit. */
  readonly isEqual: boolean;
  readonly sideBySide: LoadedTrials["sideBySide"];
}

/** Runs steps of members alone and of all as one; losses, parameters, statistics and optimizer states must agree. */
async function compare(
  members: readonly FusedMember[],
  { steps = 3, most = 1e-5, ...fusing }: FusingOptions & { readonly steps?: number; readonly most?: number } = {},
): Promise<Compared> {
  const trials = loadTrials(cpu, members, fusing);
  const { alone, fused } = trials;
  let isEqual = true;
  const near = (what: string, actual: readonly number[], expected: readonly number[]): void => {
    isEqual &&= expected.every((value, i) => Object.is(value, actual[i]));
    assert.ok(distance(actual, expected) <= most, `${what}: distance ${distance(actual, expected)}`);
  };
  try {
    for (let step = 0; step < steps; step++) {
      for (const one of alone) await one.step.run();
      await fused.step.run();
      members.forEach(({ name }, i) => {
        const trial = fused.graph.trials?.[i];
        assert.deepEqual(trial, { name, array: "", index: i, loss: "losses" });
        const own = numbersOf(alone[i] as LoadedTrials["fused"], alone[i]?.graph.loss as string);
        near(`loss of ${name} in step ${step}`, numbersOf(fused, "losses", i, members.length), own);
      });
    }
    const [sum = 0] = numbersOf(fused, fused.graph.loss as string);
    const losses = numbersOf(fused, "losses");
    assert.ok(distance([sum], [losses.reduce((a, z) => a + z)]) < 1e-6);
    const parts = partsOf(trials);
    assert.ok(parts.length > 0);
    for (const { name, all, own } of parts)
      own.forEach((expected, i) => {
        const size = all.length / members.length;
        if (expected.length) near(`${name} of m${i}`, all.slice(i * size, (i + 1) * size), expected);
      });
  } finally {
    trials.close();
  }
  return { isEqual, sideBySide: trials.sideBySide };
}

const sgd: StepOptions = { loss: "ce", optimizer: "sgd:lr=0.01" };

test("fuseTrials(…) trains perceptrons as each trains alone: losses, parameters and states", async () => {
  const { sideBySide } = await compare(membersOf(read("mlp.ts.onnx"), sgd));
  assert.deepEqual(sideBySide, []);
});

test("fuseTrials(…) trains a perceptron without biases as alone bit by bit", async () => {
  const graph = parseGraph(`graph n(float32[8,6] x, parameter float32[6,16] v, parameter float32[16,3] w) => (y) {
    h = MatMul(x, v)
    r = Relu(h)
    y = MatMul(r, w)
  }`);
  assert.equal((await compare(membersOf(graph, sgd), { steps: 5, most: 0 })).isEqual, true);
});

test("fuseTrials(…) trains convolutions with batch norm as alone, running statistics too", async () => {
  const graph = read("resnet_basic.ts.onnx");
  const exact = { ...sgd, precision: "float64" };
  assert.deepEqual((await compare(membersOf(graph, exact), { most: 1e-10 })).sideBySide, []);
  await compare(membersOf(graph, { ...sgd, optimizer: "sgd:lr=0.001" }), { steps: 2 });
});

test("fuseTrials(…) trains depthwise convolutions, concatenations and transposed ones as alone", async () => {
  const exact = { ...sgd, precision: "float64", optimizer: "sgd:lr=0.001" };
  assert.deepEqual((await compare(membersOf(read("mobilenet_v2.ts.onnx"), exact), { most: 1e-8 })).sideBySide, []);
  const image = { ...exact, loss: "mse" };
  assert.deepEqual((await compare(membersOf(read("unet_bn.dynamo.onnx"), image), { most: 1e-8 })).sideBySide, []);
});

for (const [name, options] of [
  ["bert_tiny.ts.onnx", { loss: "mse", optimizer: "adamw" }],
  ["gpt2_tiny.dynamo.onnx", { loss: "ce", optimizer: "adamw" }],
  ["vit_tiny.ts.onnx", { loss: "ce:label_smoothing=0.1", optimizer: "adamw" }],
  ["swin.ts.onnx", { loss: "ce", optimizer: "sgd" }],
  ["lstm.ts.onnx", { loss: "mse", optimizer: "sgd" }],
  ["gcn.dynamo.onnx", { loss: "ce", optimizer: "sgd" }],
] as const)
  test(`fuseTrials(…) trains ${name} as alone, nothing side by side`, async () => {
    const exact = { ...options, precision: "float64" };
    assert.deepEqual((await compare(membersOf(read(name), exact), { steps: 2, most: 1e-7 })).sideBySide, []);
  });

test("fuseTrials(…) draws random numbers for each model, as each draws alone: bit by bit", async () => {
  const graph = read("dropout_block.onnx", { batch: 4 });
  const found = await compare(membersOf(graph, { loss: "mse", optimizer: "adam", accumulate: 2 }));
  assert.deepEqual(found.sideBySide, [{ node: "/Dropout", op: "Dropout", why: "random" }]);
  assert.equal(found.isEqual, true);
});

test("fuseTrials(…) gives each model its optimizer settings, its norm to clip to, and keeps what all have alike", async () => {
  const graph = perceptron(4, 6, 3);
  await compare(
    membersOf(
      graph,
      { ...sgd, optimizer: "sgd:lr=0.1", clipNorm: 0.05 },
      { ...sgd, optimizer: "sgd:momentum=0", clipNorm: 5 },
      { ...sgd, optimizer: "sgd:lr=0.2,weight_decay=0.1", clipNorm: 0.1 },
    ),
    { steps: 5 },
  );
  await compare(
    membersOf(
      graph,
      { ...sgd, optimizer: "adam:lr=0.1" },
      { ...sgd, optimizer: "adam:betas=0.8/0.99,eps=1e-3" },
      { ...sgd, optimizer: "adam:lr=0.01,weight_decay=0.1" },
    ),
    { steps: 5 },
  );
  const alike = fuseTrials(cpu, membersOf(graph, { ...sgd, optimizer: "adamw:lr=0.1" }));
  assert.equal(tensorOf(alike.step, "parameters").shape.length, 1);
});

/** Models that differ in a constant, and in names. */
const scaledModels = (...factors: readonly number[]): Graph[] =>
  factors.map((factor, i) =>
    parseGraph(`graph n(float32[4,3] x${i || ""}, parameter float32[3,3] w${i || ""}, constant float32[] c = {${factor}}) => (y) {
      h = MatMul(x${i || ""}, w${i || ""})
      y = Mul(h, c)
    }`),
  );

test("fuseTrials(…) accumulates", async () => {
  await compare(membersOf(perceptron(4, 6, 2), { ...sgd, accumulate: 3 }));
});

test("fuseTrials(…) lowers the loss scale of the one model whose gradients are not finite, and leaves it as it was", async () => {
  const precision = "mixed:loss_scale=dynamic,init_scale=10000,growth_interval=2,backoff_factor=0.01";
  const members = scaledModels(1, 200, 1).map((own, i) => ({
    name: `m${i}`,
    graph: own,
    options: { loss: "mse", optimizer: "adam", precision },
    seed: i,
  }));
  const trials = loadTrials(cpu, members);
  try {
    const scales: number[][] = [];
    for (let step = 0; step < 4; step++) {
      for (const one of trials.alone) await one.step.run();
      await trials.fused.step.run();
      for (const name of ["loss_scale", "loss_scale.growth_tracker", "parameters.beta1_power"]) {
        const all = numbersOf(trials.fused, name);
        assert.deepEqual(
          all,
          trials.alone.map((one) => numbersOf(one, name)[0]),
        );
        if (name === "loss_scale") scales.push(all);
      }
    }
    assert.deepEqual(scales[0], [10000, 100, 10000]);
  } finally {
    trials.close();
  }
});

test("fuseTrials(…) has a rate for each model that a trainer can write", () => {
  const members = membersOf(
    perceptron(4, 6, 1),
    { loss: "ce", optimizer: "adamw:lr=0.1", rates: "tensors" },
    { loss: "ce", optimizer: "adamw:lr=0.2,weight_decay=0.5", rates: "tensors" },
    { loss: "ce", optimizer: "adamw:lr=0.3", rates: "tensors" },
  );
  const { step } = fuseTrials(cpu, members);
  const numbers = (lr: number | readonly number[]): Record<string, number[]> =>
    Object.fromEntries([...ratesAt(step, lr)].map(([name, bytes]) => [name, valuesOf("float32", bytes)]));
  const own = [...step.tensors.values()].filter(({ rate }) => rate !== undefined);
  const given = Object.fromEntries(own.map(({ name, data }) => [name, valuesOf("float32", data as Uint8Array)]));
  assert.deepEqual(numbers([0.1, 0.2, 0.3]), given);
  const halved = Object.values(numbers([0.05, 0.1, 0.15])).flat();
  Object.values(given)
    .flat()
    .forEach((value, i) => {
      assert.ok(Math.abs((halved[i] as number) - value / 2) < 1e-8);
    });
});

test("fuseTrials(…) trains random graphs as alone, with settings that differ", async () => {
  for (let seed = 0; seed < 12; seed++) {
    const { graph } = randomGraph(seed);
    const used = prune({ ...graph, state: [] });
    const forward = prune({ ...graph, state: graph.state.filter(({ before }) => used.tensors.has(before)) });
    const options = [0.01, 0.02, 0.03].map(
      (lr): StepOptions => ({
        loss: "mse",
        optimizer: `${seed % 2 ? "sgd" : "adam"}:lr=${lr}`,
        precision: "float64",
        ...(seed % 3 ? {} : { clipNorm: 10 * lr }),
        accumulate: seed % 5 ? 1 : 2,
      }),
    );
    await compare(membersOf(forward, ...options), { most: 1e-6 });
  }
});

test("fuseTrials(…) keeps nodes side by side that are named, and still trains as alone", async () => {
  const graph = read("resnet_basic.ts.onnx");
  const convolutions = graph.nodes.filter(({ op }) => op === "Conv").map(({ name }) => name);
  const apart = new Set(convolutions);
  const found = await compare(membersOf(graph, { ...sgd, precision: "float64" }), { most: 1e-10, apart });
  assert.deepEqual(
    found.sideBySide,
    convolutions.map((node) => ({ node, op: "Conv", why: "asked" })),
  );
  const { nodes } = fuseTrials(cpu, membersOf(graph, sgd), { apart }).baseline;
  const lanes = (member: string): Set<number> =>
    new Set(nodes.filter(({ name }) => name.startsWith(`${member}/`)).map(({ lane = 0 }) => lane));
  assert.deepEqual([lanes("m0"), lanes("m1"), lanes("m2")], [new Set([0]), new Set([1]), new Set([2])]);
  assert.ok(nodes.every(({ name, lane = 0 }) => lane === 0 || /^m\d\//.test(name)));
});

test("fuseTrials(…) updates parameters in parts as soon as it can, and trains as alone", async () => {
  const members = membersOf(read("resnet_basic.ts.onnx"), { ...sgd, optimizer: "adam:lr=0.001", precision: "float64" });
  await compare(members, { most: 1e-9, besideFrom: 1 });
  const { nodes, tensors } = fuseTrials(cpu, members, { besideFrom: 1 }).baseline;
  const buffers = new Set(
    [...tensors.values()].flatMap(({ category, within }) =>
      category === "parameter" && within ? [within.tensor] : [],
    ),
  );
  assert.ok(buffers.size > 1, [...buffers].join());
  const updated = nodes.findIndex(
    ({ phase, inputs }) => phase === "update" && inputs.some((name) => /gradients/.test(name)),
  );
  const last = nodes.findLastIndex(({ phase }) => phase === "backward");
  assert.ok(updated >= 0 && updated < last, `${updated} of ${last}`);
  assert.ok(nodes.every(({ phase, lane }) => phase !== "update" || lane === 8));
});

test("fuseTrials(…) of sixteen perceptrons has no more nodes than one has alone, but a few", () => {
  const graph = perceptron(8, 16, 2);
  const members = Array.from({ length: 16 }, (_, i) => ({ name: `m${i}`, graph, options: sgd, seed: i }));
  const alone = stepFor(cpu, graph, sgd, 0).baseline.nodes.length;
  const { baseline } = fuseTrials(cpu, members);
  assert.ok(baseline.nodes.length <= alone + 6, `${baseline.nodes.length} and ${alone}`);
});

test("fuseTrials(…) takes graphs of other names, and differing constants as each model's own", async () => {
  const graphs = scaledModels(1, 2, 0.5);
  const members = graphs.map((graph, i) => ({ name: `m${i}`, graph, options: sgd, seed: i }));
  const { step } = fuseTrials(cpu, members);
  const own = [...step.tensors.values()].find(({ category, shape }) => category === "constant" && shape[0] === 3);
  assert.deepEqual(valuesOf("float32", own?.data as Uint8Array), [1, 2, 0.5]);
  assert.deepEqual(tensorOf(step, "w").shape, [3, 3, 3]);
});
