import assert from "node:assert/strict";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { Builder } from "../src/build/build.js";
import { type Attribute, type DType, elementCount, type Graph, onnxNumbers, tensorOf } from "../src/graph/graph.js";
import { bytesOf, valuesOf } from "../src/graph/values.js";
import { bindModel } from "../src/model/bind.js";
import type { Model } from "../src/model/model.js";
import { parseOnnx } from "../src/model/onnx.js";
import {
  encodeModel,
  type ProtoAttribute,
  type ProtoGraph,
  type ProtoNode,
  type ProtoTensor,
  type ProtoValue,
} from "../src/model/onnx-proto.js";
import type { CpuRuntime } from "../src/runtime/cpu.js";
import { backward } from "../src/step/gradient.js";
import { lower } from "../src/step/lower.js";
import { distance, loaded, randoms, type Values } from "./sampled.js";

/** An attribute of a written node: a whole number, whole numbers, text, a graph. */
type Given = number | readonly number[] | string | ProtoGraph | Attribute;

function attributeOf(name: string, value: Given): ProtoAttribute {
  if (typeof value === "number") return { name, type: 2, i: value };
  if (typeof value === "string") return { name, type: 3, s: Buffer.from(value) };
  if (Array.isArray(value)) return { name, type: 7, ints: [...(value as number[])] };
  if ("type" in (value as Attribute)) {
    const { dtype, shape, data } = (value as Extract<Attribute, { type: "tensor" }>).value;
    return { name, type: 4, t: { dims: [...shape], dataType: onnxNumbers[dtype], rawData: data } };
  }
  return { name, type: 5, g: value as ProtoGraph };
}

/** A node as text: `node("y, z = Loop(m, , x)", { body })`. */
export function node(text: string, attributes: Readonly<Record<string, Given>> = {}, name = ""): ProtoNode {
  const [, outputs = "", op = "", inputs = ""] = /^(.*?)\s*=\s*(\w+)\((.*)\)$/.exec(text) ?? assert.fail(text);
  const names = (list: string): string[] => (list.trim() ? list.split(",").map((one) => one.trim()) : []);
  return {
    name,
    opType: op,
    input: names(inputs),
    output: names(outputs),
    attribute: Object.entries(attributes).map(([key, value]) => attributeOf(key, value)),
  };
}

/** A constant of a file. */
export const held = (name: string, dtype: DType, shape: readonly number[], values: readonly number[]): ProtoTensor => ({
  name,
  dims: [...shape],
  dataType: onnxNumbers[dtype],
  rawData: bytesOf(dtype, values),
});

/** `x: float32[batch,3]`, `i: int64[]`; a name alone is of no type. */
function typed(text: string): ProtoValue {
  const [, name = "", dtype, dims] = /^([^:]*?)(?:: (\w+)(?:\[(.*)\])?)?$/.exec(text) ?? assert.fail(text);
  if (!dtype) return { name };
  const dim = (dims ?? "").split(",").filter(Boolean);
  const shape =
    dims === undefined
      ? {}
      : { shape: { dim: dim.map((d) => (/^\d+$/.test(d) ? { dimValue: Number(d) } : { dimParam: d })) } };
  return { name, type: { tensorType: { elemType: onnxNumbers[dtype as DType], ...shape } } };
}

/** A graph of nodes. */
export const graph = (
  inputs: readonly string[],
  nodes: ProtoNode[],
  outputs: readonly string[],
  initializer: ProtoTensor[] = [],
): ProtoGraph => ({ name: "g", input: inputs.map(typed), node: nodes, output: outputs.map(typed), initializer });

/** A file's bytes. */
export const file = (whole: ProtoGraph, opset = 18): Uint8Array =>
  encodeModel({ irVersion: 8, producerName: "pytorch", graph: whole, opsetImport: [{ domain: "", version: opset }] });

/** The model of a file, and its graph with dimensions bound. */
export function bound(
  bytes: Uint8Array,
  dims: Readonly<Record<string, number>>,
  cpu: CpuRuntime,
): { model: Model; graph: Graph; notes: readonly string[] } {
  const model = parseOnnx(bytes, { file: "m.onnx", folder: null });
  return { model, ...bindModel(model, { dims, evaluate: (one, inputs) => cpu.evaluate(one, inputs) }) };
}

/** What a file's outputs hold by ONNX Runtime. */
async function inSession(bytes: Uint8Array, forward: Graph, values: Values): Promise<number[][]> {
  const session = await InferenceSession.create(bytes, { graphOptimizationLevel: "disabled", logSeverityLevel: 4 });
  const feeds = session.inputNames.map((name) => {
    const { dtype, shape } = tensorOf(forward, name);
    const list = values.get(name) ?? [];
    const data = dtype === "int64" ? BigInt64Array.from(list.map(BigInt)) : Float32Array.from(list);
    return [name, new Tensor(dtype as "float32", data as Float32Array, [...shape])] as const;
  });
  const made = await session.run(Object.fromEntries(feeds));
  const results = session.outputNames.map((name) => Array.from(made[name]?.data as Float32Array, Number));
  await session.release();
  return results;
}

/**
 * Compares a file's outputs with ONNX Runtime's, and the gradients of all parameters and float inputs with finite
 * differences. Returns the graph.
 */
export async function checkFile(
  bytes: Uint8Array,
  cpu: CpuRuntime,
  dims: Readonly<Record<string, number>> = {},
): Promise<Graph> {
  const { graph: forward } = bound(bytes, dims, cpu);
  const random = randoms(7);
  const spread = (count: number): number[] => Array.from({ length: count }, () => 1.6 * random() - 0.8);
  const tensors = [...forward.tensors.values()];
  const given = tensors.filter(({ category }) => category === "input" || category === "parameter");
  const values = new Map(
    given.map(({ name, dtype, shape, data }) => [
      name,
      data ? valuesOf(dtype, data) : spread(elementCount(shape)).map((v) => (dtype === "int64" ? 0 : v)),
    ]),
  );
  const first = loaded(lower(forward, cpu.hasKernel), cpu);
  const run = async (at: Values): Promise<number[][]> => {
    const made = await first.run(at);
    return forward.outputs.map((name) => made.get(name) ?? []);
  };
  const expected = await inSession(bytes, forward, values);
  for (const [i, list] of (await run(values)).entries())
    assert.ok(distance(list, expected[i] ?? []) < 1e-5, `output ${i} is ${list}, in a session ${expected[i]}`);

  const b = new Builder(forward);
  const weights = forward.outputs.map((name) => spread(elementCount(b.type(name).shape)));
  const seeds = new Map<string, string>();
  for (const [i, name] of forward.outputs.entries()) {
    const { dtype, shape } = b.type(name);
    if (dtype === "float32") seeds.set(name, b.declare({ name: `seed${i}`, dtype, shape, category: "input" }));
  }
  const wanted = given.filter(({ dtype }) => dtype === "float32").map(({ name }) => name);
  b.phase = "backward";
  b.category = "temporary";
  const gradients = backward(b, [...forward.nodes], seeds, new Set(wanted));
  const names = wanted.map((name) => gradients.get(name) ?? assert.fail(`no gradient: ${name}`));
  const whole = {
    ...forward,
    nodes: b.nodes,
    tensors: new Map(b.tensors),
    outputs: [...new Set(names)],
    inputs: [...forward.inputs, ...seeds.values()],
  };
  const second = loaded(lower(whole, cpu.hasKernel), cpu);
  const seeded = forward.outputs.flatMap((name, i): [string, number[]][] => {
    const seed = seeds.get(name);
    return seed ? [[seed, weights[i] as number[]]] : [];
  });
  const made = await second.run(new Map([...values, ...seeded]));
  const loss = async (at: Values): Promise<number> => {
    const lists = await run(at);
    return lists.reduce(
      (sum, list, i) =>
        sum +
        (seeds.has(forward.outputs[i] as string)
          ? list.reduce((part, y, k) => part + y * (weights[i]?.[k] as number), 0)
          : 0),
      0,
    );
  };
  const h = 5e-3;
  for (const [k, name] of wanted.entries()) {
    const x = values.get(name) as number[];
    const differences: number[] = [];
    for (let i = 0; i < x.length; i++) {
      const at = (shift: number): Promise<number> =>
        loss(new Map([...values, [name, x.with(i, (x[i] as number) + shift)]]));
      differences.push((8 * ((await at(h)) - (await at(-h))) - ((await at(2 * h)) - (await at(-2 * h)))) / (12 * h));
    }
    const gradient = made.get(names[k] as string) ?? [];
    assert.ok(
      distance(gradient, differences) < 2e-3,
      `gradient of ${name} is ${gradient}, by differences ${differences}`,
    );
  }
  first.close();
  second.close();
  return forward;
}
