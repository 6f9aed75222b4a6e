import { elementCount, type Graph, isFloat, type Node, type Tensor } from "../../../graph/graph.js";
import { expressions, reductions } from "./expressions.js";
import { type KernelSource, memoryTypes } from "./kernel.js";
import { pointwiseKernel } from "./pointwise.js";
import { reducedAxesOf, rowKernel } from "./rows.js";

/** Whether every op and type inside a fused node can be generated. */
export function canGenerate(body: Graph): boolean {
  return (
    [...body.tensors.values()].every(({ dtype }) => memoryTypes[dtype]) &&
    body.nodes.every(
      ({ op, inputs }) =>
        expressions[op] ||
        op === "Cast" ||
        (reductions[op] && isFloat((body.tensors.get(inputs[0] ?? "") as Tensor).dtype)),
    )
  );
}

/**
 * CUDA C for a fused node. \`aligned\` tells whether all full operands start on 16-byte boundaries. Operands are the
 * node's inputs, then its outputs. Inputs are read before outputs are written, element by element, so an output may lie
 * where a full input lies. Without fused multiply-add (--fmad=false) an op gives the same bits in whatever kernel it is.
 * The device's \`multiprocessors\` decide how many blocks are launched at most.
 */
export function fusedSource(body: Graph, aligned: boolean, multiprocessors: number): KernelSource {
  const reducing = body.nodes.filter(({ op }) => reductions[op]);
  const type = (name: string): Tensor => body.tensors.get(name) as Tensor;
  const used = body.inputs.filter((name) => body.nodes.some(({ inputs }) => inputs.includes(name)));
  const shape = reducing.length
    ? type(reducing[0]?.inputs[0] as string).shape
    : body.outputs.map((name) => type(name).shape).reduce((a, z) => (elementCount(z) > elementCount(a) ? z : a));
  const trailing = reducing.length ? reducedAxesOf(reducing[0] as Node, body) : 0;
  return trailing || reducing.length
    ? rowKernel(body, used, shape, trailing, aligned, multiprocessors)
    : pointwiseKernel(body, used, shape, aligned, multiprocessors);
}
