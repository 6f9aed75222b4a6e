import type { Builder } from "../build/build.js";
import { type DType, elementCount, type Graph, isFloat, type Node, type Tensor } from "../graph/graph.js";
import { bytesOf, valuesOf } from "../graph/values.js";
import { callOf } from "../ops/call.js";
import { opOf } from "../ops/index.js";
import type { Body } from "../ops/op.js";
import { cast } from "../ops/shapes.js";

/** Element types that hold all values of another one, or all up to 2^53: kernels are looked for in this order. */
const wider: Readonly<Partial<Record<DType, readonly DType[]>>> = {
  bool: ["uint8", "int32"],
  int8: ["int32", "int64", "float32"],
  uint8: ["int32", "int64", "uint32", "float32"],
  int16: ["int32", "int64", "float32"],
  uint16: ["int32", "int64", "uint32", "float32"],
  int32: ["int64", "float64"],
  uint32: ["int64", "uint64", "float64"],
  int64: ["float64"],
  uint64: ["int64", "float64"],
};

/** The same tensor in another element type if there is one, with its values if it is a constant. */
const inType = (tensor: Tensor, dtype: DType = tensor.dtype): Tensor =>
  dtype === tensor.dtype
    ? tensor
    : { ...tensor, dtype, ...(tensor.data && { data: bytesOf(dtype, valuesOf(tensor.dtype, tensor.data)) }) };

/** A constant of more elements is cast when the step runs. */
const mostElements = 64;

/**
 * A rule that runs a node on integers in a wider element type between casts, where ONNX Runtime has no kernel for theirs;
 * undefined if it has none for a wider one either. What wraps round in the narrow type does so in the cast back.
 */
export function widerIntegers(
  b: Builder,
  node: Node,
  hasKernel: (node: Node, graph: Pick<Graph, "tensors">) => boolean,
): Body | undefined {
  const record = opOf(node);
  if (!record.types || node.op === "Cast") return undefined;
  const inputs = [...new Set(node.inputs)].flatMap((name) => (name ? [b.type(name)] : []));
  const types = new Set(inputs.map(({ dtype }) => dtype).filter((dtype) => !isFloat(dtype)));
  const one = [...types].flatMap((narrow) => (wider[narrow] ?? []).map((wide) => new Map([[narrow, wide]])));
  const several = [...types].filter((narrow) => narrow !== "bool" && narrow !== "int64");
  const all = several.length > 1 ? [new Map(several.map((narrow) => [narrow, "int64"] as const))] : [];
  for (const change of [...one, ...all]) {
    const tensors = new Map(inputs.map((tensor) => [tensor.name, inType(tensor, change.get(tensor.dtype))]));
    const made = outputsOf(node, tensors);
    if (made && hasKernel(node, { tensors: new Map([...tensors, ...made]) })) return between(node, change, b);
  }
  return undefined;
}

/** The types of a node's outputs given its inputs; undefined if these do not go together. */
function outputsOf(node: Node, tensors: ReadonlyMap<string, Tensor>): [string, Tensor][] | undefined {
  try {
    const types = opOf(node).infer(callOf(node, tensors));
    return node.outputs.flatMap((name, i): [string, Tensor][] => {
      const type = types[i];
      return name && type ? [[name, { ...type, name, category: "temporary" }]] : [];
    });
  } catch {
    return undefined;
  }
}

/** The node on inputs cast to other element types, its outputs cast to what they were. */
function between(node: Node, change: ReadonlyMap<DType, DType>, outer: Builder): Body {
  const wanted = node.outputs.map((name) => (name ? outer.type(name).dtype : undefined));
  return ({ b, constant }) => {
    const inputs = node.inputs.map((name, i) => {
      const { dtype, shape } = name ? b.type(name) : { dtype: undefined, shape: [] };
      const wide = dtype && change.get(dtype);
      if (!wide) return name;
      const values = elementCount(shape) <= mostElements ? constant(i) : undefined;
      // what a kernel reads on the host stays a constant
      return values ? b.constant(wide, shape, values) : cast(b, name, wide);
    });
    const made = b.add(node.op, inputs, node.attributes, { domain: node.domain, count: node.outputs.length });
    return made.map((name, i) => (node.outputs[i] ? cast(b, name, wanted[i] as DType) : ""));
  };
}
