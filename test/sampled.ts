import { readdirSync } from "node:fs";
import { join } from "node:path";
import { Builder } from "../src/build/build.js";
import { type DType, elementCount, type Graph, type Node, tensorBytes, tensorOf } from "../src/graph/graph.js";
import { bytesOf, valuesOf } from "../src/graph/values.js";
import { viewStartBytes } from "../src/memory/views.js";
import { callOf } from "../src/ops/call.js";
import { opOf } from "../src/ops/index.js";
import type { CpuRuntime } from "../src/runtime/cpu.js";
import { at } from "./at.js";
import type { Sample, SampleInput } from "./samples/sample.js";
import { runInSession } from "./session.js";

const folder = at("samples");

/** The samples of test/samples/. */
export const samples: readonly Sample[] = readdirSync(folder)
  .filter((file) => file.endsWith(".ts"))
  .flatMap((file) => Object.values(require(join(folder, file)) as Record<string, unknown>))
  .filter((value): value is Sample[] => Array.isArray(value))
  .flat();

const found = new Map<string, Sample[]>();

for (const sample of samples) found.set(sample.op, [...(found.get(sample.op) ?? []), sample]);

/** The samples of each op, by its key in the table. */
export const byOp: ReadonlyMap<string, readonly Sample[]> = found;

/** What the inputs of a graph hold, by name. */
export type Values = ReadonlyMap<string, number[]>;

/** Numbers from 0 to 1, the same for the same seed. */
export function randoms(seed: number): () => number {
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
export function buildSample(sample: Sample, precision: "float32" | "float64") {
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
export function loaded(graph: Graph, cpu: CpuRuntime, places: ReadonlyMap<string, string> = new Map()) {
  const offsets = new Map<string, number>();
  let arenaBytes = 0;
  const views = new Map(graph.nodes.filter((n) => opOf(n).view).map((n) => [n.outputs[0], n]));
  for (const tensor of graph.tensors.values()) {
    if (views.has(tensor.name) || places.has(tensor.name)) continue;
    offsets.set(tensor.name, arenaBytes);
    arenaBytes += Math.ceil(tensorBytes(tensor) / 64) * 64;
  }
  const place = (name: string): number => {
    const view = views.get(name);
    const shown = places.get(name) ?? (view?.inputs[0] as string);
    return offsets.get(name) ?? place(shown) + (view ? viewStartBytes(view, graph) : 0);
  };
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

/** What was built so far as a graph, with those outputs. */
export const graphOf = (b: Builder, outputs: readonly string[]): Graph => ({
  name: "sample",
  nodes: b.nodes,
  tensors: new Map(b.tensors),
  inputs: [...b.tensors.values()].filter((t) => t.category === "input").map((t) => t.name),
  outputs,
  state: [],
});

/** The sample as the model reader would add it: normalised if its record says so. Returns the outputs' names. */
export function addNormalized(b: Builder, node: Node, sample: Sample): string[] {
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

/** ‖a − b‖/max(‖b‖, 0.01). */
export function distance(a: readonly number[], b: readonly number[]): number {
  if (a.length !== b.length) throw new Error(`lengths differ: ${a.length} and ${b.length}`);
  return Math.hypot(...a.map((v, i) => v - (b[i] as number))) / Math.max(Math.hypot(...b), 1e-2);
}

/** Whether the sample stands as kernels take it: its record does not rewrite it. */
export function isNormal(sample: Sample): boolean {
  const { b, node } = buildSample(sample, "float32");
  addNormalized(b, node, sample);
  return b.nodes.length === 1 && b.nodes[0]?.inputs.join() === node.inputs.join();
}

/** What a session of ONNX Runtime says to a sample, some of its inputs in float64: nothing if it runs. */
export async function saidOf(sample: Sample, opset: number, asDouble: readonly number[] = []): Promise<string> {
  const { b, node, values } = buildSample(sample, "float32");
  const types = opOf(node).infer(callOf(node, b.tensors, opset));
  const inputs = node.inputs.map((name, i) => {
    if (!name) return undefined;
    const { dtype, shape, data } = b.type(name);
    if (asDouble.includes(i))
      return { dtype: "float64" as const, shape, data: bytesOf("float64", values.get(name) ?? []) };
    return { dtype, shape, data: data ?? bytesOf(dtype, values.get(name) ?? []) };
  });
  try {
    await runInSession(node, inputs, types, [opset]);
    return "";
  } catch (error) {
    return (error as Error).message;
  }
}
