import { InferenceSession, Tensor } from "onnxruntime-node";
import protobuf from "protobufjs";
import { type Attribute, type DType, type Node, onnxNumbers, type TensorType } from "../src/graph/graph.js";
import type { Value } from "../src/graph/values.js";
import { onnxProto } from "../src/model/onnx-proto.js";

const model = protobuf.parse(onnxProto).root.lookupType("onnx.ModelProto");

const encode: { readonly [T in Attribute["type"]]: (value: Extract<Attribute, { type: T }>["value"]) => object } = {
  int: (i) => ({ type: 2, i }),
  float: (f) => ({ type: 1, f }),
  string: (s) => ({ type: 3, s: Buffer.from(s) }),
  ints: (ints) => ({ type: 7, ints }),
  floats: (floats) => ({ type: 6, floats }),
  strings: (strings) => ({ type: 8, strings: strings.map((s) => Buffer.from(s)) }),
  tensor: ({ dtype, shape, data }) => ({ type: 4, t: { dims: shape, dataType: onnxNumbers[dtype], rawData: data } }),
};

const attribute = (name: string, value: Attribute): object => ({
  name,
  ...(encode[value.type] as (value: Attribute["value"]) => object)(value.value),
});

const valueInfo = (name: string, dtype: DType, shape?: readonly number[]): object => ({
  name,
  type: {
    tensorType: {
      elemType: onnxNumbers[dtype],
      ...(shape ? { shape: { dim: shape.map((dimValue) => ({ dimValue })) } } : {}),
    },
  },
});

const arrays = {
  float32: Float32Array,
  float64: Float64Array,
  int32: Int32Array,
  int64: BigInt64Array,
  bool: Uint8Array,
  uint8: Uint8Array,
  int8: Int8Array,
} as const;

/** Bytes in a buffer of their own. */
const own = (data: Uint8Array): ArrayBuffer => Uint8Array.from(data).buffer;

/**
 * What ONNX Runtime makes of a node in a session of its own, as any user would run it: shapes and values of the named
 * outputs. Throws the last message of ONNX Runtime if the node runs at none of the opsets.
 */
export async function runInSession(
  node: Node,
  inputs: readonly (Value | undefined)[],
  outputs: readonly TensorType[],
  opsets: readonly number[] = [21, 18, 13, 23],
): Promise<Value[]> {
  const named = node.outputs.flatMap((name, i) => (name ? [{ name, dtype: outputs[i]?.dtype ?? "float32" }] : []));
  const feeds: Record<string, Tensor> = {};
  const given = new Map(node.inputs.map((name, i) => [name, inputs[i]]));
  for (const [name, value] of given) {
    if (!name || !value) continue;
    const Typed = arrays[value.dtype as keyof typeof arrays];
    feeds[name] = new Tensor(value.dtype as Tensor.Type, new Typed(own(value.data)) as Float32Array, [...value.shape]);
  }
  const graph = {
    name: "node",
    node: [
      {
        name: node.name,
        opType: node.op,
        domain: node.domain,
        input: node.inputs,
        output: node.outputs,
        attribute: Object.entries(node.attributes).map(([name, value]) => attribute(name, value)),
      },
    ],
    input: [...given].flatMap(([name, value]) => (name && value ? [valueInfo(name, value.dtype, value.shape)] : [])),
    output: named.map(({ name, dtype }) => valueInfo(name, dtype)),
  };
  let failure: unknown;
  for (const version of opsets) {
    const opsetImport = [
      { domain: "", version },
      { domain: "com.microsoft", version: 1 },
    ];
    const bytes = model.encode(model.fromObject({ irVersion: 10, opsetImport, graph })).finish();
    try {
      const session = await InferenceSession.create(bytes, {
        graphOptimizationLevel: "disabled",
        logSeverityLevel: 4,
        intraOpNumThreads: 1,
      });
      const results = await session.run(feeds);
      await session.release();
      return named.map(({ name, dtype }) => {
        const result = results[name] as Tensor;
        const data = result.data as Float32Array;
        return { dtype, shape: result.dims, data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) };
      });
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}
