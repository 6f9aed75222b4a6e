import { elementCount, type Graph, isFloat, type Node, type Tensor } from "../../../graph/graph.js";
import { opOf } from "../../../ops/index.js";
import { channelKernels, type Launches } from "./channels.js";
import { reductions } from "./expressions.js";
import { memoryTypes } from "./kernel.js";
import { channelSums } from "./norm.js";
import { firstOp, isPointwise, pointwiseKernel } from "./pointwise.js";
import { reducedAxesOf, rowKernel } from "./rows.js";

const mostElements = 2 ** 31;

/** Whether every op and type inside a fused node can be generated. */
export function canGenerate(body: Graph): boolean {
  const type = (name: string | undefined): Tensor => body.tensors.get(name ?? "") as Tensor;
  return (
    [...body.tensors.values()].every(({ dtype }) => memoryTypes[dtype]) &&
    body.nodes.every((node) => {
      const { op, inputs } = node;
      const ofChannels = opOf(node).channelInputs ?? [];
      if (ofChannels.length) {
        const [{ dtype, shape }, vector] = [type(inputs[0]), type(inputs[ofChannels[0] as number])];
        const isOfOne = ofChannels.every((slot) => type(inputs[slot]).dtype === vector.dtype);
        const isWide = vector.dtype === "float32" || vector.dtype === "float64";
        if (!isOfOne || !isWide || !isFloat(dtype)) return false;
        if (channelSums[firstOp(node)]) return elementCount(shape) > 0 && elementCount(shape) < mostElements;
      }
      return isPointwise(node) || (reductions[op] && isFloat(type(inputs[0]).dtype));
    })
  );
}

/** The axis of an image that its channels are. */
const channelAxis = (node: Node, shape: readonly number[]): number => (opOf(node).channelsFirst ? shape.length - 1 : 1);

/** The body with vectors of channels in a shape that broadcasts as they are meant. */
function broadcasting(body: Graph): Graph {
  const tensors = new Map(body.tensors);
  for (const node of body.nodes)
    for (const slot of opOf(node).channelInputs ?? []) {
      const vector = body.tensors.get(node.inputs[slot] as string) as Tensor;
      const { shape } = body.tensors.get(node.inputs[0] as string) as Tensor;
      const after = shape.length - 1 - channelAxis(node, shape);
      tensors.set(vector.name, { ...vector, shape: [...vector.shape, ...new Array<number>(after).fill(1)] });
    }
  return { ...body, tensors };
}

/**
 * CUDA C for a fused node. `aligned` tells whether all full operands start on 16-byte boundaries. Operands are the
 * node's inputs, then its outputs. Inputs are read before outputs are written, element by element, so an output may lie
 * where a full input lies. Without fused multiply-add (--fmad=false) an op gives the same bits in whatever kernel it is.
 * The device's `multiprocessors` decide how many blocks share the work of reductions.
 */
export function fusedSource(given: Graph, aligned: boolean, multiprocessors: number): Launches {
  const body = broadcasting(given);
  const type = (name: string): Tensor => body.tensors.get(name) as Tensor;
  const used = body.inputs.filter((name) => body.nodes.some(({ inputs }) => inputs.includes(name)));
  const overChannels = body.nodes.find((node) => channelSums[firstOp(node)]);
  if (overChannels) {
    const { shape } = type(overChannels.inputs[0] as string);
    return channelKernels(body, used, shape, channelAxis(overChannels, shape), { aligned, multiprocessors });
  }
  const reducing = body.nodes.filter(({ op }) => reductions[op]);
  const shape = reducing.length
    ? type(reducing[0]?.inputs[0] as string).shape
    : body.outputs.map((name) => type(name).shape).reduce((a, z) => (elementCount(z) > elementCount(a) ? z : a));
  const trailing = reducing.length ? reducedAxesOf(reducing[0] as Node, body) : 0;
  const source = reducing.length
    ? rowKernel(body, used, shape, trailing, aligned, multiprocessors)
    : pointwiseKernel(body, used, shape, aligned);
  return { launches: [{ source, operands: [...body.inputs, ...body.outputs] }], partsBytes: 0 };
}
