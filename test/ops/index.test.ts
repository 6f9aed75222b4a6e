import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { Builder } from "../../src/build/build.js";
import {
  type DType,
  elementCount,
  type Graph,
  type Node,
  type TensorType,
  tensorBytes,
  tensorOf,
} from "../../src/graph/graph.js";
import { bytesOf, valuesOf } from "../../src/graph/values.js";
import { callOf } from "../../src/ops/call.js";
import { opOf, ops } from "../../src/ops/index.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { backward } from "../../src/step/gradient.js";
import { lower } from "../../src/step/lower.js";
import { at } from "../at.js";
import type { Sample, SampleInput } from "../samples/sample.js";
import { runInSession } from "../session.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

type Values = ReadonlyMap<string, number[]>;

/** Numbers from 0 to 1, the same for the same seed. */
function randoms(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The input's values: evenly spread and shuffled, so that no two are near each other and none is near zero. */
function valuesFor({ shape, values, range = [-1, 1], dtype }: SampleInput, seed: number): number[] {
  if (values) return [...values];
  const n = elementCount(shape);
  const spread = Array.from({ length: n }, (_, i) => range[0] + ((i + 0.3) / n) * (range[1] - range[0]));
  const random = randoms(seed);
  for (let i = n - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [spread[i], spread[j]] = [spread[j] as number, spread[i] as number];
  }
  return dtype?.includes("float") === false ? spread.map(Math.round) : spread;
}

/** A sample as nodes, in float32 or float64. `node` is the sample's node as it would stand in a model file. */
function buildSample(sample: Sample, precision: "float32" | "float64") {
  const b = new Builder();
  const values = new Map<string, number[]>();
  const typed = (dtype: DType = "float32"): DType => (dtype === "float32" ? precision : dtype);
  const inputs = sample.inputs.map((input, i) => {
    if (!input) return "";
    if (input.same !== undefined) return `x${input.same}`;
    const name = `x${i}`;
    const data = valuesFor(input, i + 1);
    const dtype = typed(input.dtype);
    if (!input.constant) values.set(name, data);
    b.declare({
      name,
      dtype,
      shape: input.shape,
      category: input.constant ? "constant" : "input",
      ...(input.constant ? { data: bytesOf(dtype, data) } : {}),
    });
    return name;
  });
  const [domain, op] = sample.op.includes(":") ? (sample.op.split(":") as [string, string]) : ["", sample.op];
  const outputs = Array.from({ length: sample.outputs ?? 1 }, (_, i) => (sample.unwanted?.includes(i) ? "" : `y${i}`));
  const node: Node = {
    name: "node",
    domain,
    op,
    inputs,
    outputs,
    attributes: sample.attributes ?? {},
    phase: "forward",
  };
  return { b, node, values };
}

/** Runs a graph whose tensors all have places of their own (views apart), and gives what its outputs hold. */
function loaded(graph: Graph, places: ReadonlyMap<string, string> = new Map()) {
  const offsets = new Map<string, number>();
  let arenaBytes = 0;
  const views = new Map(graph.nodes.filter((n) => opOf(n).view).map((n) => [n.outputs[0], n.inputs[0]]));
  for (const tensor of graph.tensors.values()) {
    if (views.has(tensor.name) || places.has(tensor.name)) continue;
    offsets.set(tensor.name, arenaBytes);
    arenaBytes += Math.ceil(tensorBytes(tensor) / 64) * 64;
  }
  const place = (name: string): number => offsets.get(name) ?? place((places.get(name) ?? views.get(name)) as string);
  for (const name of graph.tensors.keys()) offsets.set(name, place(name));
  const step = cpu.load(graph, { arenaBytes, offsets, hostBytes: 0, hostOffsets: new Map() });
  return {
    async run(values: Values): Promise<Map<string, number[]>> {
      for (const [name, list] of values)
        if (graph.tensors.has(name)) step.write(name, bytesOf(tensorOf(graph, name).dtype, list));
      const { observed } = await step.run({ observe: new Set(graph.outputs) });
      return new Map(
        graph.outputs.map((name) => [
          name,
          valuesOf(tensorOf(graph, name).dtype, observed.get(name) ?? step.read(name)),
        ]),
      );
    },
    close: () => step.close(),
  };
}

const graphOf = (b: Builder, outputs: readonly string[]): Graph => ({
  name: "sample",
  nodes: b.nodes,
  tensors: new Map(b.tensors),
  inputs: [...b.tensors.values()].filter((t) => t.category === "input").map((t) => t.name),
  outputs,
  state: [],
});

/** The sample as the model reader would add it: normalised if its record says so. Returns the outputs' names. */
function addNormalized(b: Builder, node: Node, sample: Sample): string[] {
  b.scope = node.name;
  const call = { ...callOf(node, b.tensors, sample.opsets?.[0]), b, x: (i: number) => node.inputs[i] as string };
  const rewritten = opOf(node).normalize?.(call);
  if (rewritten) return node.outputs.map((_, i) => rewritten[i] ?? "");
  return b.add(node.op, node.inputs, node.attributes, {
    domain: node.domain,
    name: node.name,
    outputs: node.outputs,
  });
}

/**
 * Compares the record's types with the outputs of the node in a session of ONNX Runtime's own. Comes first: a kernel
 * that is called by itself trusts the shape it is given, and writes past the end of an output declared too small.
 */
async function checkTypes(sample: Sample): Promise<void> {
  const { b, node, values } = buildSample(sample, "float32");
  if (node.domain === "mutwo") return;
  const types = opOf(node).infer(callOf(node, b.tensors, sample.opsets?.[0]));
  const inputs = node.inputs.map((name) => {
    if (!name) return undefined;
    const { dtype, shape, data } = b.type(name);
    return { dtype, shape, data: data ?? bytesOf(dtype, values.get(name) ?? []) };
  });
  const made = await runInSession(node, inputs, types, sample.opsets);
  const slots = node.outputs.flatMap((name, i) => (name ? [i] : []));
  made.forEach(({ dtype, shape }, k) => {
    const { dtype: inferred, shape: inferredShape } = types[slots[k] as number] as TensorType;
    assert.deepEqual({ dtype: inferred, shape: [...inferredShape] }, { dtype, shape: [...shape] });
  });
  if (sample.random) return;
  const outputs = addNormalized(b, node, sample);
  const step = loaded(
    lower(graphOf(b, [...new Set(outputs.filter((name) => name && b.producer(name)))]), cpu.hasKernel),
  );
  const actual = await step.run(values);
  step.close();
  made.forEach(({ dtype, data }, k) => {
    const i = slots[k] as number;
    const value = actual.get(outputs[i] as string);
    const expected = valuesOf(dtype, data);
    if (value && expected.every(Number.isFinite))
      assert.ok(distance(value, expected) < 1e-5, `${sample.op}: output ${i} is ${value}, in a session ${expected}`);
  });
}

/** Whether the sample stands as kernels take it: its record does not rewrite it. */
function isNormal(sample: Sample): boolean {
  const { b, node } = buildSample(sample, "float32");
  addNormalized(b, node, sample);
  return b.nodes.length === 1 && b.nodes[0]?.inputs.join() === node.inputs.join();
}

/** Writes over each input that the record offers, and compares with what the kernel makes elsewhere. */
async function checkInPlace(sample: Sample, precision: "float32" | "float64"): Promise<void> {
  const { b, node, values } = buildSample(sample, precision);
  b.add(node.op, node.inputs, node.attributes, { domain: node.domain, name: node.name, outputs: node.outputs });
  const graph = graphOf(b, node.outputs.filter(Boolean));
  if (!cpu.hasKernel(node, graph)) return;
  const elsewhere = loaded(graph);
  const expected = (await elsewhere.run(values)).get("y0");
  elsewhere.close();
  for (const slot of opOf(node).inPlace) {
    const input = node.inputs[slot];
    if (!input || tensorOf(graph, input).category === "constant") continue;
    if (opOf(node).inPlaceTypes?.includes(tensorOf(graph, "y0").dtype) === false) continue;
    // as the layout does: the storage must not be read through another input
    if (node.inputs.some((name, i) => name === input && !opOf(node).inPlace.includes(i))) continue;
    if (tensorBytes(tensorOf(graph, input)) !== tensorBytes(tensorOf(graph, "y0"))) continue;
    const over = loaded(graph, new Map([["y0", input]]));
    assert.deepEqual(
      (await over.run(values)).get("y0"),
      expected,
      `${sample.op} cannot write over input ${slot} (${precision})`,
    );
    over.close();
  }
}

const noKernel = /no kernel|Kernel not found/i;

/** The native kernel and the body must agree where there are both. */
async function checkBody(sample: Sample): Promise<void> {
  const { b, node, values } = buildSample(sample, "float32");
  b.add(node.op, node.inputs, node.attributes, { domain: node.domain, name: node.name, outputs: node.outputs });
  const graph = graphOf(b, node.outputs.filter(Boolean));
  if (!opOf(node).body || sample.random || !cpu.hasKernel(node, graph)) return;
  let lowered: Graph;
  try {
    lowered = lower(graph, (n, g) => n.name !== node.name && cpu.hasKernel(n, g));
  } catch (error) {
    if (noKernel.test((error as Error).message)) return; // a form that the body does not know
    throw error;
  }
  const native = loaded(graph);
  const body = loaded(lowered);
  const expected = await native.run(values);
  for (const [name, actual] of await body.run(values))
    assert.ok(distance(actual, expected.get(name) ?? []) < 1e-5, `body of ${sample.op} differs in ${name}`);
  native.close();
  body.close();
}

/** ‖a − b‖/max(‖b‖, 0.01). */
function distance(a: readonly number[], b: readonly number[]): number {
  assert.equal(a.length, b.length);
  return Math.hypot(...a.map((v, i) => v - (b[i] as number))) / Math.max(Math.hypot(...b), 1e-2);
}

/** Compares the gradient rule with finite differences of Σ w·Y, w fixed random weights. */
async function checkGradient(sample: Sample, precision: "float32" | "float64"): Promise<void> {
  const { b, node, values } = buildSample(sample, precision);
  const outputs = addNormalized(b, node, sample);
  const forward = lower(graphOf(b, [...new Set(outputs.filter((name) => name && b.producer(name)))]), cpu.hasKernel);
  const first = loaded(forward);
  if (!sample.differentiate?.length) {
    await first.run(values);
    first.close();
    return;
  }
  const random = randoms(99);
  const seeds = new Map<string, string>();
  const weights = new Map<string, number[]>();
  outputs.forEach((name, i) => {
    if (!name || !b.type(name).dtype.includes("float")) return;
    if (sample.through && !sample.through.includes(i)) return;
    const { dtype, shape } = b.type(name);
    const weight = Array.from({ length: elementCount(shape) }, () => random() + 0.2);
    weights.set(name, weight);
    seeds.set(name, b.declare({ name: `w${i}`, dtype, shape, category: "input" }));
  });
  const wanted = sample.differentiate.map((i) => `x${i}`);
  b.phase = "backward";
  b.category = "temporary";
  const gradients = backward(b, [...b.nodes], seeds, new Set(wanted));
  const names = wanted.map((name) => gradients.get(name) ?? assert.fail(`${sample.op} has no gradient for ${name}`));
  const given = new Map(values);
  for (const [name, seed] of seeds) given.set(seed, weights.get(name) as number[]);
  const second = loaded(lower(graphOf(b, [...new Set(names)]), cpu.hasKernel));
  const made = await second.run(given);
  second.close();

  const loss = async (at: Values): Promise<number> => {
    const result = await first.run(at);
    let sum = 0;
    for (const [name, weight] of weights) {
      const y = result.get(name) ?? at.get(name) ?? [];
      for (let i = 0; i < weight.length; i++) sum += (weight[i] as number) * (y[i] as number);
    }
    return sum;
  };
  const h = sample.step ?? (precision === "float64" ? 1e-3 : 5e-3);
  for (const [k, name] of wanted.entries()) {
    const x = values.get(name) as number[];
    const expected: number[] = [];
    for (let i = 0; i < x.length; i++) {
      const at = (shift: number): Promise<number> =>
        loss(new Map([...values, [name, x.map((v, j) => (j === i ? v + shift : v))]]));
      // fourth-order central differences
      expected.push((8 * ((await at(h)) - (await at(-h))) - ((await at(2 * h)) - (await at(-2 * h)))) / (12 * h));
    }
    const error = distance(made.get(names[k] as string) as number[], expected);
    const bound = precision === "float64" ? 1e-6 : 1e-3;
    const told = `${made.get(names[k] as string)} for ${expected}`;
    assert.ok(error <= bound, `${sample.op}: gradient of input ${name} is off by ${error} (${precision}): ${told}`);
  }
  first.close();
}

const folder = at("samples");

const samples: Sample[] = readdirSync(folder)
  .filter((file) => file.endsWith(".ts"))
  .flatMap((file) => Object.values(require(join(folder, file)) as Record<string, unknown>))
  .filter((value): value is Sample[] => Array.isArray(value))
  .flat();

const byOp = new Map<string, Sample[]>();

for (const sample of samples) byOp.set(sample.op, [...(byOp.get(sample.op) ?? []), sample]);

test("samples name ops of the table", () => {
  assert.deepEqual(
    [...byOp.keys()].filter((op) => !ops.has(op)),
    [],
  );
});

for (const [op, record] of ops)
  test(`${op} has the kernel's shapes, and the gradient of finite differences`, async () => {
    const own = byOp.get(op) ?? [];
    assert.ok(own.length > 0, `no sample: ${op}`);
    for (const sample of own) {
      await checkTypes(sample);
      if (isNormal(sample)) {
        for (const precision of ["float32", "float64"] as const)
          if (record.types) await checkInPlace(sample, precision);
        await checkBody(sample);
      }
      await checkGradient(sample, "float32");
      await checkGradient(sample, "float64").catch((error: Error) => {
        if (!noKernel.test(error.message)) throw error;
      });
    }
    const differentiable = typeof record.gradient === "function" && own[0]?.random !== true;
    if (differentiable)
      assert.ok(
        own.some((sample) => sample.differentiate?.length),
        `no sample differentiates: ${op}`,
      );
  });

test("evaluate(node, inputs) runs the body of a node without a kernel", () => {
  const value = (values: number[]) => ({ dtype: "int64" as const, shape: [2], data: bytesOf("int64", values) });
  const node: Node = {
    name: "largest",
    domain: "",
    op: "Max",
    inputs: ["a", "b"],
    outputs: ["y"],
    attributes: {},
    phase: "forward",
  };
  const [made] = cpu.evaluate(node, [value([1, 5]), value([3, 2])]);
  assert.deepEqual(valuesOf("int64", made?.data ?? new Uint8Array()), [3, 5]);
});

test("opOf(node) says why an op is not in the table", () => {
  const message = (op: string, domain = ""): string => {
    try {
      opOf({ op, domain, name: "n" });
      return "";
    } catch (error) {
      return (error as Error).message;
    }
  };
  assert.deepEqual(
    ["Loop", "SequenceInsert", "OptionalHasElement", "StringConcat", "Unique", "Frobnicate"].map((op) => message(op)),
    [
      "unsupported: control flow Loop (node n)",
      "unsupported: sequence op SequenceInsert (node n)",
      "unsupported: optional op OptionalHasElement (node n)",
      "unsupported: string op StringConcat (node n)",
      "unsupported: output shape that depends on values: Unique (node n)",
      "unknown op: Frobnicate (node n)",
    ],
  );
  const quantised = ["QLinearConv", "MatMulInteger", "DequantizeLinear", "DynamicQuantizeLinear"];
  for (const op of quantised)
    assert.equal(message(op), `unsupported: quantised op ${op} (node n); mutwo trains float models`);
  assert.match(message("QLinearAdd", "com.microsoft"), /^unsupported: quantised op com.microsoft:QLinearAdd /);
});

test("Dropout's gradient follows the mask that the forward pass drew", async () => {
  const b = new Builder();
  b.declare({ name: "x", dtype: "float32", shape: [64], category: "input" });
  b.declare({ name: "dy", dtype: "float32", shape: [64], category: "input" });
  const y = b.op("Dropout", ["x", b.constant("float32", [], 0.25), b.constant("bool", [], 1)]);
  const dx = backward(b, [...b.nodes], new Map([[y, "dy"]]), new Set(["x"])).get("x") as string;
  const step = loaded(graphOf(b, [y, dx]));
  const ones = new Array<number>(64).fill(1);
  const made = await step.run(
    new Map([
      ["x", ones],
      ["dy", ones],
    ]),
  );
  step.close();
  assert.deepEqual(made.get(dx), made.get(y));
  assert.deepEqual([...new Set(made.get(y))].sort(), [0, Math.fround(4 / 3)]);
});

test("BatchNormalization in training keeps momentum of the old statistics and adds the batch's", async () => {
  const b = new Builder();
  const vector = (value: number) => b.constant("float32", [1], value);
  b.declare({ name: "x", dtype: "float32", shape: [2, 1, 2], category: "input" });
  const inputs = ["x", vector(1), vector(0), vector(0), vector(1)];
  const made = b.add("BatchNormalization", inputs, {}, { domain: "mutwo", count: 3 });
  const step = loaded(lower(graphOf(b, made), cpu.hasKernel));
  const values = await step.run(new Map([["x", [1, 2, 3, 4]]]));
  step.close();
  // mean 2.5 and biased variance 1.25, at ONNX's momentum of 0.9
  const rounded = made.slice(1).map((name) => values.get(name)?.map((v) => Number(v.toFixed(5))));
  assert.deepEqual(rounded, [[0.25], [1.025]]);
});
