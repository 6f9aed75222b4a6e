import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { exportStep } from "../../src/export/export.js";
import type { Graph } from "../../src/graph/graph.js";
import { valuesOf } from "../../src/graph/values.js";
import { savedActivations } from "../../src/memory/activations.js";
import { rewrite } from "../../src/plan/rewrite.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { loadWithValues } from "../../src/runtime/load.js";
import { initialValues } from "../../src/step/initial.js";
import { lower } from "../../src/step/lower.js";
import { checkOptimizer, learningRateOf, type Rates, ratesAt } from "../../src/step/optimizer.js";
import { parseNamed } from "../../src/step/settings.js";
import { stepFor } from "../../src/step/step.js";
import { type TrainingOptions, trainingStep } from "../../src/step/training.js";
import { relativeError, runSteps } from "../step.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

/** The gradient of mse with respect to w is 2(w − target)/3, that of b the same; x is zero. */
const model = parseGraph(`graph line(float32[3] x, parameter float32[3] w, parameter float32[3] b) => (y) {
  h = Add(x, w)
  y = Add(h, b)
}`);

const start = { x: [0, 0, 0], w: [0.5, -1, 2], b: [0.25, 0, -1], target: [1, 2, -3] };

const steps = 4;

/** The parameters after each step, computed by a rule on plain numbers. */
function expected(
  rule: (p: number, g: number, memory: Record<string, number>, t: number) => number,
  clip = Number.POSITIVE_INFINITY,
): number[][] {
  let [w, b] = [start.w, start.b];
  const memories = Array.from({ length: 6 }, () => ({}));
  return Array.from({ length: steps }, (_, t) => {
    const plain = start.target.map((target, i) => (2 * ((w[i] as number) + (b[i] as number) - target)) / 3);
    const norm = Math.sqrt(2) * Math.hypot(...plain);
    const g = plain.map((v) => v * Math.min(1, clip / (norm + 1e-6)));
    w = w.map((p, i) => rule(p, g[i] as number, memories[i] as object as Record<string, number>, t + 1));
    b = b.map((p, i) => rule(p, g[i] as number, memories[i + 3] as object as Record<string, number>, t + 1));
    return [...w, ...b];
  });
}

const sgd =
  ({ lr = 0.01, momentum = 0.9, decay = 0, nesterov = false }) =>
  (p: number, g: number, memory: Record<string, number>, t: number): number => {
    const gradient = g + decay * p;
    memory.v = t === 1 ? gradient : momentum * (memory.v as number) + gradient;
    return p - lr * (nesterov ? gradient + momentum * memory.v : memory.v);
  };

const adam =
  ({ lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, decay = 0, decoupled = false }) =>
  (p: number, g: number, memory: Record<string, number>, t: number): number => {
    const gradient = decoupled ? g : g + decay * p;
    memory.m = beta1 * (memory.m ?? 0) + (1 - beta1) * gradient;
    memory.v = beta2 * (memory.v ?? 0) + (1 - beta2) * gradient ** 2;
    const decayed = decoupled ? p * (1 - lr * decay) : p;
    const root = Math.sqrt(memory.v) / Math.sqrt(1 - beta2 ** t) + eps;
    return decayed - (lr / (1 - beta1 ** t)) * (memory.m / root);
  };

const cases: readonly [what: string, options: Omit<TrainingOptions, "loss">, number[][]][] = [
  ["sgd", { optimizer: "sgd:lr=0.1" }, expected(sgd({ lr: 0.1 }))],
  ["sgd without momentum", { optimizer: "sgd:momentum=0" }, expected(sgd({ momentum: 0 }))],
  [
    "nesterov's momentum and weight decay",
    { optimizer: "sgd:lr=0.1,nesterov=true,weight_decay=0.05" },
    expected(sgd({ lr: 0.1, nesterov: true, decay: 0.05 })),
  ],
  ["adam", { optimizer: "adam" }, expected(adam({}))],
  [
    "adam with all settings",
    { optimizer: "adam:lr=1e-2,betas=0.8/0.99,eps=1e-6,weight_decay=0.1" },
    expected(adam({ lr: 1e-2, beta1: 0.8, beta2: 0.99, eps: 1e-6, decay: 0.1 })),
  ],
  ["adamw", { optimizer: "adamw:lr=0.05" }, expected(adam({ lr: 0.05, decay: 0.01, decoupled: true }))],
  ["gradients clipped to a norm", { optimizer: "sgd", clipNorm: 0.5 }, expected(sgd({}), 0.5)],
  ["gradients below the norm", { optimizer: "sgd", clipNorm: 1000 }, expected(sgd({}), 1000)],
];

for (const [what, options, parameters] of cases)
  test(`trainingStep updates by PyTorch's formula: ${what}`, async () => {
    const step = trainingStep(model, { loss: "mse", precision: "float64", ...options });
    const after = step.state.find(({ before }) => before === "parameters.float64")?.after as string;
    const made = await runSteps(step, runtime, start, [after], steps);
    made.forEach((state, i) => {
      const error = relativeError(state[after] as number[], parameters[i] as number[]);
      assert.ok(error < 1e-12, `step ${i + 1}: off by ${error}: ${state[after]}`);
    });
  });

test("trainingStep(…, precision mixed) with a loss scale gives the gradients of float32 but for rounding", async () => {
  const dense = parseGraph(`graph dense(float32[4,8] x, parameter float32[8,3] w, parameter float32[3] b) => (y) {
    h = MatMul(x, w)
    y = Add(h, b)
  }`);
  const gradients = async (precision?: string, clipNorm?: number) => {
    const options = {
      loss: "ce",
      optimizer: "adam",
      ...(precision ? { precision } : {}),
      ...(clipNorm ? { clipNorm } : {}),
    };
    const step = trainingStep(dense, options);
    const next = step.state.find(({ before }) => before === "parameters")?.after as string;
    const [made] = await runSteps(step, runtime, {}, ["w.grad", "b.grad", next]);
    return { made, next, step };
  };
  const plain = await gradients();
  for (const precision of ["mixed:loss_scale=64", "mixed:type=bfloat16,loss_scale=1"]) {
    const half = await gradients(precision);
    const scale = precision.includes("64") ? 64 : 1;
    const type = precision.includes("bfloat16") ? "bfloat16" : "float16";
    assert.ok(
      half.step.nodes.some(
        (node) => node.op === "MatMul" && half.step.tensors.get(node.outputs[0] as string)?.dtype === type,
      ),
    );
    assert.equal(half.step.tensors.get("w")?.dtype, "float32");
    const scaled = (half.made?.["w.grad"] ?? []).map((v) => v / scale);
    const error = relativeError(scaled, plain.made?.["w.grad"] ?? []);
    assert.ok(error > 0 && error < 2e-2, `${precision}: off by ${error}`);
    assert.ok(relativeError(half.made?.[half.next] ?? [], plain.made?.[plain.next] ?? []) < 1e-2);
  }
  await assert.rejects(gradients("half"), /^Error: unknown precision: half \(one of mixed, float64\)$/);
  await assert.rejects(gradients("mixed:loss_scale=0"), /loss_scale is not positive: 0/);
});

const twoLayers = `graph net(float32[BATCH,5] x, parameter float32[5,4] first.weight, parameter float32[4] first.bias, parameter float32[4,3] second.weight) => (y) {
  h = MatMul(x, first.weight)
  s = Add(h, first.bias)
  a = Tanh(s)
  y = MatMul(a, second.weight)
}`;

const net = (batch: number) => parseGraph(twoLayers.replace("BATCH", String(batch)));

const values = (count: number, seed: number): number[] =>
  Array.from({ length: count }, (_, i) => Math.sin(seed + 1.7 * i));

const weights = { "first.weight": values(20, 1), "first.bias": values(4, 2), "second.weight": values(12, 3) };

test("trainingStep(…, accumulate: 3) on three micro-batches is one step on all of them", async () => {
  const options = { loss: "ce", optimizer: "adam", precision: "float64", clipNorm: 0.05 };
  const whole = trainingStep(net(6), options);
  const parts = trainingStep(net(2), { ...options, accumulate: 3 });
  assert.deepEqual(parts.inputs, ["x", "target", "x@micro2", "target_2", "x@micro3", "target_3"]);
  const x = values(30, 5);
  const target = [0, 2, 1, 1, 0, 2];
  const names = ["loss", "first.weight.grad", "first.bias.grad", "second.weight.grad", "parameters.float64.next"];
  const one = await runSteps(whole, runtime, { ...weights, x, target }, names, 3);
  const split: Record<string, number[]> = {
    x: x.slice(0, 10),
    "x@micro2": x.slice(10, 20),
    "x@micro3": x.slice(20),
    target: target.slice(0, 2),
    target_2: target.slice(2, 4),
    target_3: target.slice(4),
  };
  const three = await runSteps(parts, runtime, { ...weights, ...split }, names, 3);
  for (const [i, state] of three.entries())
    for (const name of names) {
      const error = relativeError(state[name] as number[], one[i]?.[name] as number[]);
      assert.ok(error < 1e-12, `${name} in step ${i + 1} is off by ${error}`);
    }
});

test("trainingStep(…, accumulate) adds each gradient where the sum is: no second set of gradients", async () => {
  const { peakBytes } = await import("../../src/memory/liveness.js");
  const peak = (accumulate: number): number =>
    peakBytes(trainingStep(net(2), { loss: "mse", optimizer: "sgd", accumulate }));
  const gradientBytes = 4 * (20 + 4 + 12);
  const inputBytes = 4 * (2 * 5 + 2 * 3);
  assert.ok(peak(4) - peak(1) <= 3 * inputBytes + gradientBytes / 2, `${peak(1)} ${peak(4)}`);
});

test("trainingStep(…, freeze) trains neither what a pattern names nor anything for it", async () => {
  const options = { loss: "mse", optimizer: "sgd" };
  const all = trainingStep(net(2), options);
  const some = trainingStep(net(2), { ...options, freeze: ["first.*"] });
  assert.deepEqual(
    [...some.tensors.keys()].filter((name) => name.endsWith(".grad")),
    ["second.weight.grad"],
  );
  assert.ok(some.nodes.length < all.nodes.length);
  assert.ok(!some.nodes.some((node) => node.name.includes("Tanh.grad") || node.name.startsWith("a.grad")));
  const refuse = (freeze: string[], message: RegExp): void =>
    assert.throws(() => trainingStep(net(2), { ...options, freeze }), message);
  refuse(["third.*"], /^Error: pattern matches no parameter: third\.\* \(the first is first\.weight\)$/);
  refuse(["*"], /^Error: all 3 parameters are frozen: nothing of net is left to train \(freeze fewer\)$/);
  refuse(["first?weigh"], /pattern matches no parameter/);
});

/** Bytes of everything that some steps leave in a graph's state, and of each step's loss. */
async function states(model: Graph, options: TrainingOptions, rates: Rates): Promise<ReadonlyMap<string, Uint8Array>> {
  const { step, baseline } = stepFor(runtime, model, { ...options, rates }, 0);
  const values = initialValues(baseline, step, 0);
  const saved = [...savedActivations(baseline).values()];
  const decisions = saved.map(({ name }) => ({ activation: name, action: "recompute" as const }));
  const planned = rewrite(baseline, decisions);
  const { step: loaded } = loadWithValues(planned, runtime, values);
  const made = new Map<string, Uint8Array>();
  for (let i = 0; i < 5; i++) {
    await loaded.run();
    made.set(`loss ${i}`, loaded.read(planned.loss as string));
  }
  for (const name of values.keys())
    if (planned.tensors.get(name)?.rate === undefined) made.set(name, loaded.read(name));
  loaded.close();
  return made;
}

for (const optimizer of ["sgd:lr=0.3", "sgd:lr=0.1,nesterov=true,weight_decay=0.05", "adam:lr=0.01", "adamw:lr=0.01"])
  test(`rates as tensors give the bits of rates as constants: ${optimizer}`, async () => {
    for (const options of [{}, { clipNorm: 0.05, accumulate: 2 }, { precision: "mixed" }, { precision: "float64" }]) {
      const training = { loss: "ce", optimizer, ...options };
      const expected = await states(net(8), training, "constants");
      const actual = await states(net(8), training, "tensors");
      assert.deepEqual([...actual.keys()], [...expected.keys()]);
      for (const [name, bytes] of expected)
        assert.deepEqual(actual.get(name), bytes, `${JSON.stringify(options)} ${name}`);
    }
  });

test("ratesAt(graph, lr) gives the bytes of the rates that a step with tensors has, and of no other tensors", () => {
  const training = { loss: "ce", optimizer: "adamw:lr=0.25,weight_decay=0.5" };
  const step = trainingStep(net(2), { ...training, rates: "tensors" });
  const named = (lr: number) => [...ratesAt(step, lr)].map(([name, bytes]) => [name, ...valuesOf("float32", bytes)]);
  assert.deepEqual(named(0.25), [
    ["parameters.lr", 0.25],
    ["parameters.lr_decay", 0.125],
  ]);
  assert.deepEqual(named(1), [
    ["parameters.lr", 1],
    ["parameters.lr_decay", 0.5],
  ]);
  for (const [name, bytes] of ratesAt(step, 0.25)) assert.deepEqual(step.tensors.get(name)?.data, bytes);
  assert.deepEqual([...ratesAt(trainingStep(net(2), training), 1)], []);
  assert.deepEqual(
    ["sgd", "adam", "adamw:lr=0.5"].map((text) => learningRateOf(parseNamed(text))),
    [1e-2, 1e-3, 0.5],
  );
});

test("an exported step with rates as tensors takes them as inputs", () => {
  const step = trainingStep(net(2), { loss: "ce", optimizer: "adamw:lr=0.25", rates: "tensors" });
  const { model, names } = exportStep(lower(step, runtime.hasKernel));
  assert.ok(
    ["parameters.lr", "parameters.lr_decay"].every((name) => model.inputs.some((input) => input.name === name)),
  );
  assert.deepEqual(valuesOf("float32", names.values.get("parameters.lr")?.data as Uint8Array), [0.25]);
  assert.ok(!names.next.has("parameters.lr"));
});

test("an optimizer's settings that nothing trains with are refused by name", () => {
  for (const [text, message] of [
    ["sgd:lr=-1", "lr of sgd is not a number from 0 on that float32 holds: -1"],
    ["sgd:lr=1e39", "lr of sgd is not a number from 0 on that float32 holds: 1e+39"],
    ["sgd:momentum=-0.5", "momentum of sgd is not a number from 0 on that float32 holds: -0.5"],
    ["adam:eps=-1", "eps of adam is not a number from 0 on that float32 holds: -1"],
    ["adamw:weight_decay=-1", "weight_decay of adamw is not a number from 0 on that float32 holds: -1"],
    ["adamw:betas=0.9/1", "beta2 of adamw is not from 0 to below 1: 1"],
  ] as const)
    assert.throws(() => checkOptimizer(parseNamed(text)), { message });
  for (const text of ["sgd:lr=0", "sgd:momentum=0", "adam:betas=0/0.5,eps=0"]) checkOptimizer(parseNamed(text));
});
