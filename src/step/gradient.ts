import type { Builder } from "../build/build.js";
import { NodeError } from "../graph/errors.js";
import type { Node } from "../graph/graph.js";
import { gradientName } from "../graph/names.js";
import { callOf } from "../ops/call.js";
import { opOf } from "../ops/index.js";
import type { GradientCall } from "../ops/op.js";

/** Tensors through which the loss can depend on the wanted ones: `wanted` and everything differentiable made of them. */
export function dependents(nodes: readonly Node[], wanted: ReadonlySet<string>): Set<string> {
  const found = new Set(wanted);
  for (const node of nodes)
    if (opOf(node).gradient !== "zero" && node.inputs.some((name) => found.has(name)))
      for (const output of node.outputs) if (output) found.add(output);
  return found;
}

/**
 * Walks the nodes backward from the seeds and emits the gradient of every tensor on the way into `b`.
 *
 * `seeds` names the gradients known at the start (of the model's output, by the loss). Returns the gradient's name for
 * each wanted tensor that the seeds depend on; the others are absent. Throws `no gradient: <op> (node <name>)`.
 */
export function backward(
  b: Builder,
  nodes: readonly Node[],
  seeds: ReadonlyMap<string, string>,
  wanted: ReadonlySet<string>,
): Map<string, string> {
  const needed = dependents(nodes, wanted);
  const gradients = new Map(seeds);
  const accumulate = (name: string, gradient: string): void => {
    const sum = gradients.get(name);
    const tensor = b.type(gradient);
    if (tensor.category === "temporary") b.redeclare({ ...tensor, category: "gradient" });
    gradients.set(name, sum ? b.op("Add", [sum, gradient], {}, { category: "gradient" }) : gradient);
  };
  for (let i = nodes.length - 1; i >= 0; i--) {
    const node = nodes[i] as Node;
    const wantsAny = node.inputs.some((name) => needed.has(name));
    if (!wantsAny || !node.outputs.some((name) => gradients.has(name))) continue;
    const { gradient } = opOf(node);
    if (gradient === "zero") continue;
    if (gradient === "none")
      throw new NodeError(`no gradient: ${node.op}`, node, {
        hint: "--freeze the parameters before it, or export the model up to what is before it",
      });
    b.scope = gradientName(node.name);
    const results = gradient(gradientCall(b, node, gradients, needed));
    results.forEach((result, index) => {
      const input = node.inputs[index];
      if (!result || !input || !needed.has(input)) return;
      const [expected, actual] = [b.type(input).shape, b.type(result).shape];
      if (expected.length !== actual.length || expected.some((size, axis) => size !== actual[axis]))
        throw new Error(
          `shape mismatch: gradient [${actual}] for ${input} [${expected}] (op ${node.op}, node ${node.name})`,
        );
      accumulate(input, result);
    });
    // a tensor's gradient is complete at its producer; nothing above reads it again
    for (const output of node.outputs) if (!wanted.has(output)) gradients.delete(output);
  }
  return new Map([...gradients].filter(([name]) => wanted.has(name)));
}

function gradientCall(
  b: Builder,
  node: Node,
  gradients: ReadonlyMap<string, string>,
  needed: ReadonlySet<string>,
): GradientCall {
  // asks the node as it is now: rules may have asked it for further outputs
  const outputName = (index: number): string => b.node(node.name).outputs[index] || b.wantOutput(node.name, index);
  return {
    ...callOf(node, b.tensors),
    b,
    x(index) {
      const name = node.inputs[index];
      if (!name) throw new NodeError(`${node.op} lacks input ${index}`, node);
      return name;
    },
    y: outputName,
    dy: (index) => gradients.get(node.outputs[index] || ""),
    wants: (index) => needed.has(node.inputs[index] || ""),
    output: (index) => b.type(outputName(index)),
  };
}
