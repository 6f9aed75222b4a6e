import { NodeError } from "../graph/errors.js";
import type { Attribute, Node, Tensor, TensorType } from "../graph/graph.js";
import { valuesOf } from "../graph/values.js";
import type { OpCall } from "./op.js";

const attribute = <K extends Attribute["type"]>(node: Node, name: string, type: K) => {
  const found = node.attributes[name];
  if (found && found.type !== type)
    throw new NodeError(`attribute ${name} of ${node.op} is ${found.type}, not ${type}`, node);
  return found as Extract<Attribute, { type: K }> | undefined;
};

/** Name of a node's input. Throws `<op> lacks input <index>`. */
export function inputOf(node: Node, index: number): string {
  const name = node.inputs[index];
  if (!name) throw new NodeError(`${node.op} lacks input ${index}`, node);
  return name;
}

/** The opset of all nodes that mutwo makes itself, and that a graph consists of. */
export const ownOpset = 18;

/**
 * A node as its op's functions see it, read by the rules of an opset (default: ours). Throws `unknown tensor` if an
 * input is not among `tensors`.
 */
export function callOf(node: Node, tensors: ReadonlyMap<string, Tensor>, opset = ownOpset): OpCall {
  const inputs = node.inputs.map((name): TensorType | undefined => {
    if (!name) return undefined;
    const tensor = tensors.get(name);
    if (!tensor) throw new NodeError(`unknown tensor: ${name}`, node);
    return tensor;
  });
  const constant = (index: number): readonly number[] | undefined => {
    const tensor = tensors.get(node.inputs[index] || "");
    return tensor?.category === "constant" && tensor.data ? valuesOf(tensor.dtype, tensor.data) : undefined;
  };
  const need = (index: number): readonly number[] => {
    const values = constant(index);
    const name = node.inputs[index];
    if (!values) throw new NodeError(`${node.op} needs a constant input ${index}${name ? `: ${name}` : ""}`, node);
    return values;
  };
  return {
    node,
    opset,
    inputs,
    outputCount: node.outputs.length,
    input(index) {
      const type = inputs[index];
      if (!type) throw new NodeError(`${node.op} lacks input ${index}`, node);
      return type;
    },
    constant,
    need,
    needOne(index) {
      const values = need(index);
      if (values.length !== 1)
        throw new NodeError(`${node.op} needs one value: ${node.inputs[index]} has ${values.length}`, node);
      return values[0] as number;
    },
    int: (name, otherwise) => attribute(node, name, "int")?.value ?? otherwise,
    float: (name, otherwise) => attribute(node, name, "float")?.value ?? otherwise,
    text: (name, otherwise) => attribute(node, name, "string")?.value ?? otherwise,
    ints: (name) => attribute(node, name, "ints")?.value,
  };
}
