import { elementCount, type Graph, type Node, type Tensor } from "../../../graph/graph.js";
import { computeTypes, literal } from "./expressions.js";
import { type KernelSource, parameters } from "./kernel.js";
import { type ChannelSums, channelSums } from "./norm.js";
import {
  type ChannelShape,
  finishKernel,
  gridOf,
  hasSeveral,
  partsBytes,
  stateOf,
  sumsKernel,
  vectors,
} from "./norm-kernels.js";
import { elementText, firstOp } from "./pointwise.js";

/** A kernel and the names of what it is launched on; `parts` is memory of its own. */
export interface Launch {
  readonly source: KernelSource;
  readonly operands: readonly string[];
}

/** Kernels that run one after the other, and bytes of the memory in which they leave parts of sums. */
export interface Launches {
  readonly launches: readonly Launch[];
  readonly partsBytes: number;
}

/** The name of that memory among operands. */
export const parts = "parts";

/**
 * Kernels of a body that sums over the elements of each channel (an axis of the shape): one that computes the pointwise part
 * and sums what comes of it, then one for each pair of sums that makes vectors of it. Threads add up in double, in a fixed
 * order.
 */
export function channelKernels(
  body: Graph,
  used: readonly string[],
  shape: readonly number[],
  axis: number,
  { aligned, multiprocessors }: Pick<ChannelShape, "aligned" | "multiprocessors">,
): Launches {
  const kept = shape[axis] as number;
  const over: ChannelShape = {
    shape: { before: elementCount(shape.slice(0, axis)), kept, after: elementCount(shape.slice(axis + 1)) },
    aligned,
    multiprocessors,
  };
  const grid = gridOf(over);
  const type = (name: string | undefined): Tensor => body.tensors.get(name as string) as Tensor;
  const summing = body.nodes.filter((node) => channelSums[firstOp(node)]);
  const rule = (node: Node): ChannelSums => channelSums[firstOp(node)] as ChannelSums;
  const state = (node: Node, name: string) => {
    const [element] = rule(node).elements;
    return stateOf(grid, computeTypes[type(node.inputs[element as number]).dtype] as string, name);
  };
  const text = elementText(body, used, shape, {
    width: grid.width,
    index: "unsigned",
    channel: { axis, index: "c", isOfElement: hasSeveral(grid) },
    further: (value) =>
      summing.flatMap((node, k) => {
        const { elements, terms } = rule(node);
        const [first, second] = terms(elements.map((slot) => value(node.inputs[slot] as string)));
        const [a, b] = [state(node, `a${k}`).at, state(node, `b${k}`).at];
        return [`${a} = ${a} + ${first};`, `${b} = ${b} + ${second};`];
      }),
  });
  const states = summing.flatMap((node, k) => [state(node, `a${k}`).declared, state(node, `b${k}`).declared]);
  const each = hasSeveral(grid) ? "[e]" : "";
  const sums = sumsKernel(over, grid, {
    parameters: parameters(body),
    begin: [...text.once, ...states],
    each: text.each,
    sums: summing.flatMap((_, k) => [`(double)a${k}${each}`, `(double)b${k}${each}`]),
  });
  const count = literal("float64", elementCount(shape) / kept);
  const finishing = summing.map((node, pair): Launch => {
    const { finishing, outputs } = rule(node);
    const names = finishing.map((slot) => node.inputs[slot] as string);
    const { given, made, value, store } = vectors(type(names[0]).dtype);
    const wanted = outputs(
      names.map((_, i) => `v${i}`),
      count,
    ).flatMap((result, i) => {
      const name = node.outputs[i] as string;
      return body.outputs.includes(name) ? [{ name, result }] : [];
    });
    return {
      source: finishKernel(over, grid, {
        pair,
        parameters: [...names.map((_, i) => given(`g${i}`)), ...wanted.map((_, i) => made(`r${i}`))].join(", "),
        code: [
          ...names.map((_, i) => `    const double v${i} = ${value(`g${i}`)};`),
          ...wanted.map(({ result }, i) => store(`r${i}`, result)),
        ].join("\n"),
      }),
      operands: [parts, ...names, ...wanted.map(({ name }) => name)],
    };
  });
  return {
    launches: [{ source: sums, operands: [...body.inputs, ...body.outputs, parts] }, ...finishing],
    partsBytes: summing.length * partsBytes(over, grid),
  };
}
