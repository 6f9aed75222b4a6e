import { InferenceSession, Tensor } from "onnxruntime-node";
import type { StepNames } from "../src/export/export.js";
import { type DType, type Graph, tensorOf } from "../src/graph/graph.js";
import type { Model } from "../src/model/model.js";
import { encodeOnnx } from "../src/model/onnx.js";
import type { LoadedStep } from "../src/runtime/runtime.js";

const arrays = {
  float32: Float32Array,
  float64: Float64Array,
  int32: Int32Array,
  int64: BigInt64Array,
  bool: Uint8Array,
} as const;

const tensorFrom = (dtype: DType, shape: readonly number[], data: Uint8Array): Tensor => {
  const Typed = arrays[dtype as keyof typeof arrays];
  return new Tensor(dtype as Tensor.Type, new Typed(Uint8Array.from(data).buffer) as Float32Array, [...shape]);
};

export const bytesOfTensor = (tensor: Tensor | undefined): Uint8Array => {
  if (!tensor) throw new Error("no such output");
  const { buffer, byteOffset, byteLength } = tensor.data as Float32Array;
  return new Uint8Array(buffer, byteOffset, byteLength).slice();
};

/** An ordinary session, one thread. `from` is a model or the path of a file. */
export const openSession = (
  from: Model | string,
  options: InferenceSession.SessionOptions = {},
): Promise<InferenceSession> => {
  const settings = {
    graphOptimizationLevel: "disabled",
    intraOpNumThreads: 1,
    logSeverityLevel: 4,
    ...options,
  } as const;
  return typeof from === "string"
    ? InferenceSession.create(from, settings)
    : InferenceSession.create(encodeOnnx(from), settings);
};

/**
 * Runs an exported step that is fed its state, several times, the next state fed back. The outputs of each step by the
 * names they have in the model.
 */
export async function runExported(
  model: Model | string,
  names: StepNames,
  graph: Graph,
  values: ReadonlyMap<string, Uint8Array>,
  steps: number,
  options: InferenceSession.SessionOptions = {},
): Promise<Map<string, Uint8Array>[]> {
  const session = await openSession(model, options);
  const feeds: Record<string, Tensor> = {};
  for (const name of names.inputs) {
    const { dtype, shape } = tensorOf(graph, name);
    feeds[name] = tensorFrom(dtype, shape, values.get(name) as Uint8Array);
  }
  for (const [name, { dtype, shape, data }] of names.values) feeds[name] = tensorFrom(dtype, shape, data);
  const results: Map<string, Uint8Array>[] = [];
  for (let i = 0; i < steps; i++) {
    const outputs = await session.run(feeds);
    results.push(new Map(Object.entries(outputs).map(([name, tensor]) => [name, bytesOfTensor(tensor)])));
    for (const [before, next] of names.next) feeds[before] = outputs[next] as Tensor;
  }
  await session.release();
  return results;
}

/** What our own interpreter gives for the same outputs: loss, gradients, next states, these cut from flat buffers. */
export async function runInterpreted(
  graph: Graph,
  loaded: LoadedStep,
  names: StepNames,
  steps: number,
): Promise<Map<string, Uint8Array>[]> {
  const results: Map<string, Uint8Array>[] = [];
  const flat = [...graph.tensors.values()].filter((t) => t.within && t.category === "parameter");
  for (let i = 0; i < steps; i++) {
    const { observed } = await loaded.run({ observe: new Set([names.loss, ...names.gradients.values()]) });
    const outputs = new Map(observed);
    for (const { before } of graph.state) {
      const bytes = loaded.read(before);
      if (names.next.has(before)) outputs.set(names.next.get(before) as string, bytes);
      for (const { name, within } of flat) {
        // the parameters themselves, or a state that is laid out as they are
        const whole = within?.tensor ?? "";
        if (before !== whole && !before.startsWith(`${whole}.`)) continue;
        const next = names.next.get(name + before.slice(whole.length));
        const size = tensorOf(graph, name).shape.reduce((n, d) => n * d, 4);
        const at = within?.offsetBytes ?? 0;
        if (next) outputs.set(next, bytes.slice(at, at + size));
      }
    }
    results.push(outputs);
  }
  return results;
}
