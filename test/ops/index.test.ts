import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { elementCount, type Graph, type TensorType, tensorBytes, tensorOf } from "../../src/graph/graph.js";
import { bytesOf, valuesOf } from "../../src/graph/values.js";
import { callOf } from "../../src/ops/call.js";
import { joinTables, opOf, ops } from "../../src/ops/index.js";
import type { Op } from "../../src/ops/op.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { backward } from "../../src/step/gradient.js";
import { lower } from "../../src/step/lower.js";
import { at } from "../at.js";
import {
  addNormalized,
  buildSample,
  byOp,
  distance,
  graphOf,
  isNormal,
  loaded,
  randoms,
  type Values,
} from "../sampled.js";
import type { Sample } from "../samples/sample.js";
import { runInSession } from "../session.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

/**
 * Compares the record's types with the outputs of the node in a session of ONNX Runtime's own. Comes first: a kernel
 * that is called by itself trusts the shape it is given, and writes past the end of an output declared too small.
 */
async function checkTypes(sample: Sample): Promise<void> {
  const { b, node, values } = buildSample(sample, "float32");
  if (node.domain === "mutwo" || sample.elsewhere) return;
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
    cpu,
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

/** Writes over each input that the record offers, and compares with what the kernel makes elsewhere. */
async function checkInPlace(sample: Sample, precision: "float32" | "float64"): Promise<void> {
  const { b, node, values } = buildSample(sample, precision);
  b.add(node.op, node.inputs, node.attributes, { domain: node.domain, name: node.name, outputs: node.outputs });
  const graph = graphOf(b, node.outputs.filter(Boolean));
  if (!cpu.hasKernel(node, graph)) return;
  const elsewhere = loaded(graph, cpu);
  const expected = (await elsewhere.run(values)).get("y0");
  elsewhere.close();
  for (const slot of opOf(node).inPlace) {
    const input = node.inputs[slot];
    if (!input || tensorOf(graph, input).category === "constant") continue;
    if (opOf(node).inPlaceTypes?.includes(tensorOf(graph, "y0").dtype) === false) continue;
    // as the layout does: the storage must not be read through another input
    if (node.inputs.some((name, i) => name === input && !opOf(node).inPlace.includes(i))) continue;
    if (tensorBytes(tensorOf(graph, input)) !== tensorBytes(tensorOf(graph, "y0"))) continue;
    const over = loaded(graph, cpu, new Map([["y0", input]]));
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
  const native = loaded(graph, cpu);
  const body = loaded(lowered, cpu);
  const expected = await native.run(values);
  for (const [name, actual] of await body.run(values))
    assert.ok(distance(actual, expected.get(name) ?? []) < 1e-5, `body of ${sample.op} differs in ${name}`);
  native.close();
  body.close();
}

/** Compares the gradient rule with finite differences of Σ w·Y, w fixed random weights. */
async function checkGradient(sample: Sample, precision: "float32" | "float64"): Promise<void> {
  const { b, node, values } = buildSample(sample, precision);
  const outputs = addNormalized(b, node, sample);
  const forward = lower(graphOf(b, [...new Set(outputs.filter((name) => name && b.producer(name)))]), cpu.hasKernel);
  const first = loaded(forward, cpu);
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
  const second = loaded(lower(graphOf(b, [...new Set(names)]), cpu.hasKernel), cpu);
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

test("samples name ops of the table", () => {
  assert.deepEqual(
    [...byOp.keys()].filter((op) => !ops.has(op)),
    [],
  );
});

test("joinTables(a, b) refuses an op that two families know", () => {
  const record = ops.get("Add") as Op;
  assert.throws(() => joinTables({ Add: record }, { Sub: record, Add: record }), /^Error: op declared twice: Add$/);
});

test("opOf(node) finds records only, not what every object has", () => {
  for (const op of ["toString", "constructor", "__proto__"])
    assert.throws(() => opOf({ domain: "", op, name: "n" }), /^Error: unknown op: /);
});

test("no file outside ops/ keeps a list of ops: what is known of an op stands in its record", () => {
  const src = at("../src");
  const files = readdirSync(src, { recursive: true, encoding: "utf8" }).filter((file) =>
    /^(?!ops\b).*\.ts$/.test(file),
  );
  const lists = files.flatMap((file) => {
    const text = readFileSync(join(src, file), "utf8");
    const found = [
      ...text.matchAll(/new Set\((.*?)\);|\/\^\(([\w|]*)\)\$\/|(\[[^\]]*\])\.includes\(\w*\.?op\)/gs),
      ...text.matchAll(/Record<string, (?:readonly number\[\]|true|string)>> = \{(.*?)\n\}/gs),
    ];
    const words = found.flatMap(
      (match) =>
        match
          .slice(1)
          .join(" ")
          .match(/(?<=["| \n])[A-Z]\w+(?=["| :])/g) ?? [],
    );
    return words.filter((word) => ops.has(word)).map((word) => `${word} in src/${file}`);
  });
  assert.deepEqual(lists, []);
});

for (const [op, record] of ops)
  test(`${op} has the kernel's shapes, and the gradient of finite differences`, async () => {
    const own = byOp.get(op) ?? [];
    assert.ok(own.length > 1, `fewer than two samples: ${op}`);
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
