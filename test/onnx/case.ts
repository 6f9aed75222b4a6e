import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import protobuf from "protobufjs";
import type { DType, Graph, Tensor } from "../../src/graph/graph.js";
import { type Value, valuesOf } from "../../src/graph/values.js";
import { bindModel } from "../../src/model/bind.js";
import type { Model } from "../../src/model/model.js";
import { openOnnx } from "../../src/model/onnx.js";
import { onnxProto, type ProtoTensor } from "../../src/model/onnx-proto.js";
import { readTensor } from "../../src/model/onnx-tensor.js";
import { opOf } from "../../src/ops/index.js";
import { type CpuRuntime, openCpu } from "../../src/runtime/cpu.js";
import { loadWithValues } from "../../src/runtime/load.js";
import { lowerFor } from "../../src/step/lower.js";

/** One set of a case's data: what goes in, and what has to come out. */
export interface CaseData {
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
}

const tensorType = protobuf.parse(onnxProto).root.lookupType("onnx.TensorProto");

const tensorIn = (file: string): Value =>
  readTensor(tensorType.decode(readFileSync(file)) as unknown as ProtoTensor, path.basename(file), {
    file,
    folder: null,
  });

/** Files `<what>_0.pb`, `<what>_1.pb`, … of a folder, as tensors. */
function tensorsIn(folder: string, what: string): Value[] {
  const files: string[] = [];
  for (let i = 0; existsSync(path.join(folder, `${what}_${i}.pb`)); i++)
    files.push(path.join(folder, `${what}_${i}.pb`));
  return files.map(tensorIn);
}

/** The sets of data of a case's folder. */
export const dataOf = (folder: string): CaseData[] =>
  readdirSync(folder)
    .filter((name) => name.startsWith("test_data_set_"))
    .sort()
    .map((name) => path.join(folder, name))
    .map((set) => ({ inputs: tensorsIn(set, "input"), outputs: tensorsIn(set, "output") }));

/**
 * What a model's inputs are to the reader, tried in turn: data as the file says; integers known (shapes, axes, indices:
 * mutwo fixes what a step's form depends on before it runs); everything known but the first input.
 */
export const readings = ["data", "integers", "rest"] as const;

export type Reading = (typeof readings)[number];

const isKnown = (reading: Reading, dtype: DType, index: number): boolean => {
  if (reading === "data") return false;
  return reading === "integers" ? !dtype.includes("float") : index > 0;
};

export const cpu: CpuRuntime = openCpu({ threads: 1 });

/** A case's forward graph with what its residents hold. */
export interface BoundCase {
  readonly graph: Graph;
  readonly values: ReadonlyMap<string, Uint8Array>;
  /** Inputs that are data to the graph. */
  readonly given: readonly string[];
}

/** The model's forward graph with the shapes of that data, read in that way. */
export function boundCase(model: Model, inputs: readonly Value[], reading: Reading): BoundCase {
  const open = model.inputs.filter(({ name }) => !model.initializers.has(name));
  const known = open.flatMap(({ name }, i) => {
    const value = inputs[i];
    return value && isKnown(reading, value.dtype, i) ? [[name, value] as const] : [];
  });
  const shaped = model.inputs.map((input) => {
    const value = inputs[open.indexOf(input)];
    return value ? { ...input, dims: value.shape } : input;
  });
  const initializers = new Map([...model.initializers, ...known]);
  const { graph } = bindModel(
    { ...model, inputs: shaped, initializers },
    { evaluate: (node, values) => cpu.evaluate(node, values) },
  );
  const given = new Map<string, Uint8Array>();
  for (const { name, data, category } of graph.tensors.values())
    if (data && category !== "constant") given.set(name, data);
  open.forEach(({ name }, i) => {
    const value = inputs[i];
    if (value && graph.tensors.has(name) && !initializers.has(name)) given.set(name, value.data);
  });
  const names = open.map(({ name }) => name).filter((name) => !initializers.has(name) && graph.tensors.has(name));
  return { graph, values: given, given: names };
}

/** A graph ready to run many times with other values of its residents. */
export function ready(forward: Graph, values: ReadonlyMap<string, Uint8Array>) {
  const graph = lowerFor(cpu, forward);
  const { step } = loadWithValues(graph, cpu, values);
  const observe = new Set(graph.outputs);
  return {
    graph,
    /** Values of the outputs, with those values in place of the first ones. */
    async run(changed: ReadonlyMap<string, Uint8Array> = new Map()): Promise<Map<string, Uint8Array>> {
      // a step writes over its state
      if (graph.state.length) for (const [name, data] of values) if (graph.tensors.has(name)) step.write(name, data);
      for (const [name, data] of changed) if (graph.tensors.has(name)) step.write(name, data);
      const { observed } = await step.run({ observe });
      return new Map(graph.outputs.map((name) => [name, observed.get(name) ?? step.read(name)]));
    },
    close: () => step.close(),
  };
}

/** ONNX's tolerances of its own tests. */
const [relative, absolute] = [1e-3, 1e-7];

/** How a value differs from the expected one beyond ONNX's tolerances; empty if it does not. */
export function difference(actual: Value, expected: Value): string {
  if (actual.dtype !== expected.dtype) return `${actual.dtype} for ${expected.dtype}`;
  if (actual.shape.join() !== expected.shape.join()) return `[${actual.shape}] for [${expected.shape}]`;
  const [is, wants] = [valuesOf(actual.dtype, actual.data), valuesOf(expected.dtype, expected.data)];
  const near = (a: number, b: number): boolean =>
    Object.is(a, b) || a === b || (Number.isFinite(b) && Math.abs(a - b) <= absolute + relative * Math.abs(b));
  const at = wants.findIndex((value, i) => !near(is[i] as number, value));
  return at < 0 ? "" : `${is[at]} for ${wants[at]} at ${at}`;
}

/** What the first output of a case that differs differs in, read in that way; empty if all are equal. */
async function differenceIn(model: Model, { inputs, outputs }: CaseData, reading: Reading): Promise<string> {
  const { graph, values } = boundCase(model, inputs, reading);
  const step = ready(graph, values);
  try {
    const made = await step.run();
    const isRandom = graph.nodes.some((node) => opOf(node).random);
    for (const [i, expected] of outputs.entries()) {
      const name = graph.outputs[i];
      if (name === undefined) return `no output ${i}`;
      const tensor = graph.tensors.get(name) as Tensor;
      const value = { ...tensor, data: made.get(name) as Uint8Array };
      // values that are drawn are not those that ONNX drew
      const found = difference(isRandom ? { ...value, data: expected.data } : value, expected);
      if (found) return `output ${i}: ${found}`;
    }
    return "";
  } finally {
    step.close();
  }
}

const needsConstant = /needs a constant input/;

/** A case's model with how it is to be read, and what its values differ in. Throws where mutwo refuses it. */
export async function forwardOf(folder: string): Promise<{ model: Model; reading: Reading; difference: string }> {
  const model = openOnnx(path.join(folder, "model.onnx"));
  const sets = dataOf(folder);
  if (sets.length === 0) throw new Error(`no data: ${folder}`);
  let refusal: unknown;
  for (const reading of readings)
    try {
      for (const set of sets) {
        const found = await differenceIn(model, set, reading);
        if (found) return { model, reading, difference: found };
      }
      return { model, reading, difference: "" };
    } catch (error) {
      if (!(error instanceof Error) || !needsConstant.test(error.message)) throw error;
      refusal = error;
    }
  throw refusal;
}
