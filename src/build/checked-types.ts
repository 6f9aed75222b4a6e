import { NodeError } from "../graph/errors.js";
import type { Node, Tensor, TensorType } from "../graph/graph.js";
import { callOf } from "../ops/call.js";
import { checkInputs, checkNode, checkOutputs } from "../ops/check-node.js";
import { opOf } from "../ops/index.js";

/**
 * Types of a node's outputs. With the opset of the model file that the node stands in, all that is known of its op is
 * checked first. Throws what the op's record and the checks do, with the node's op, inputs and shapes behind it.
 */
export function checkedTypes(
  node: Node,
  tensors: ReadonlyMap<string, Tensor>,
  fileOpset: number | undefined,
): readonly TensorType[] {
  const record = opOf(node);
  const call = callOf(node, tensors, fileOpset);
  try {
    if (fileOpset !== undefined) checkNode(call, record);
    checkInputs(call, record);
    const types = record.infer(call);
    checkOutputs(call, types, fileOpset !== undefined);
    return types;
  } catch (error) {
    const isOwn = error instanceof NodeError && error.node === node.name;
    const what = isOwn ? error.what : (error as Error).message;
    const inputs = node.inputs.map((name, i) => {
      const type = call.inputs[i];
      return type ? `${name} ${type.dtype}[${type.shape}]` : "none";
    });
    const kind = isOwn ? error.kind : undefined;
    throw new NodeError(what, node, {
      kind,
      detail: `${node.op} of ${inputs.join(", ") || "nothing"}`,
      cause: error,
    });
  }
}
