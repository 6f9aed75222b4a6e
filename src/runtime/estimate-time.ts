import { type DType, type Graph, type Node, tensorBytes, tensorOf } from "../graph/graph.js";
import { eachOnce } from "../graph/lists.js";
import { callOf } from "../ops/call.js";
import { opOf } from "../ops/index.js";
import type { DeviceSpec } from "./device-spec.js";
import type { Efficiencies, WorkKind } from "./efficiency.js";

/** Whose peak bounds a node's operations. */
type Peak = "float64Tflops" | "float32Tflops" | "tf32Tflops" | "float16Tflops";

/** What a node asks of a device. */
export interface Work {
  readonly kind: WorkKind;
  readonly flops: number;
  readonly peak: Peak;
  /** Bytes that are read and written at least once. */
  readonly bytes: number;
  /** A product whose rows do not start on 16-byte boundaries. */
  readonly unaligned: boolean;
  /** Bytes of an output that a second kernel fills with a bias beforehand; 0 for none. */
  readonly biasBytes: number;
}

/** Channels for each group below which convolutions do not run on tensor cores. */
const narrow = 8;

/** The peak of tensor cores for an element type, where they have one. */
function productPeak(dtype: DType, tf32: boolean): Peak {
  if (dtype === "float64") return "float64Tflops";
  if (dtype === "float16" || dtype === "bfloat16") return "float16Tflops";
  return dtype === "float32" && tf32 ? "tf32Tflops" : "float32Tflops";
}

/**
 * What a node asks of a device, by its op, types and shapes; undefined for one that runs no kernel: views, and the copies
 * of swaps, which take no time of the stream that computes. `tf32`: products may round float32 inputs to TF32.
 */
export function workOf(node: Node, graph: Pick<Graph, "name" | "tensors">, tf32: boolean): Work | undefined {
  const op = opOf(node);
  if (op.view || op.swap) return undefined;
  const typed = (name: string) => tensorOf(graph, name);
  const onDevice = (names: readonly string[]): number => {
    let bytes = 0;
    for (const name of eachOnce(names)) {
      const tensor = name ? typed(name) : undefined;
      if (tensor && !tensor.host) bytes += tensorBytes(tensor);
    }
    return bytes;
  };
  const outputs = node.outputs.filter(Boolean).map(typed);
  const flops = op.flops(callOf(node, graph.tensors), outputs);
  const [read, written] = [onDevice(node.inputs), onDevice(node.outputs)];
  const dtype = node.inputs[0] ? typed(node.inputs[0]).dtype : outputs[0]?.dtype;
  const common = { flops, bytes: read + written, unaligned: false, biasBytes: 0 };
  const isConvolution = op.product === "windows" || op.productGradient === "windows";
  if (isConvolution) return { ...common, ...convolutionWork(node, graph, tf32) };
  if (op.product === "attention") return { ...common, kind: "product", peak: productPeak(dtype as DType, tf32) };
  if (op.product) return { ...common, ...productWork(node, graph, tf32) };
  const peak = dtype === "float64" ? "float64Tflops" : "float32Tflops";
  if (op.pointwise || op.fusible === "elements" || node.op === "Fused") return { ...common, kind: "elements", peak };
  if (flops > 0) return { ...common, kind: "rows", peak };
  // what is scattered is read and written, in place; of what is picked from no more is read than is written
  const scattered = op.inPlace.includes(0) ? 2 * onDevice(node.inputs.slice(1)) : undefined;
  return { ...common, kind: "movement", peak, bytes: scattered ?? Math.min(read, written) + written };
}

type Kind = Pick<Work, "kind" | "peak"> & Partial<Work>;

function productWork(node: Node, graph: Pick<Graph, "name" | "tensors">, tf32: boolean): Kind {
  const operands = [...node.inputs.slice(0, 2), node.outputs[0] as string].map((name) => tensorOf(graph, name));
  const peak = productPeak(operands[0]?.dtype as DType, tf32);
  const isSet = (name: string): boolean => node.attributes[name]?.value === 1;
  // Hopper's tensor cores take TF32 operands only if both lie along the sum; others go a slower way
  const isContiguous = !isSet("transA") && isSet("transB");
  const rowBytes = operands.map((type) => tensorBytes({ dtype: type.dtype, shape: type.shape.slice(-1) }));
  return {
    kind: peak === "tf32Tflops" && !isContiguous ? "stridedProduct" : "product",
    peak,
    unaligned: rowBytes.some((bytes) => bytes % 16 !== 0),
    biasBytes: node.inputs[2] ? tensorBytes(operands[2] as { dtype: DType; shape: readonly number[] }) : 0,
  };
}

function convolutionWork(node: Node, graph: Pick<Graph, "name" | "tensors">, tf32: boolean): Kind {
  const type = (name: string | undefined) => tensorOf(graph, name as string);
  const { productGradient, channelsFirst } = opOf(node);
  const isFilter = productGradient === "windows";
  const channels = (shape: readonly number[]): number => shape.at(channelsFirst ? -1 : 1) as number;
  const groups = (node.attributes.group?.value as number | undefined) ?? 1;
  const sides = [type(node.inputs[0]), type(isFilter ? node.inputs[1] : node.outputs[0])];
  if (sides.some(({ shape }) => channels(shape) / groups < narrow))
    return {
      kind: "narrowConvolution",
      peak: type(node.inputs[0]).dtype === "float64" ? "float64Tflops" : "float32Tflops",
    };
  return {
    kind: isFilter ? "filterGradient" : "convolution",
    peak: productPeak(type(node.inputs[0]).dtype, tf32),
  };
}

/**
 * Estimated time of a node, ms: the greater of its operations at a share of the peak and its bytes at a share of the
 * bandwidth (Williams et al. 2009, roofline), after the launch of its kernels.
 */
export function estimatedMs(work: Work, spec: DeviceSpec, efficiencies: Efficiencies): number {
  const { kind, flops, peak, bytes, unaligned, biasBytes } = work;
  const { launches, compute, memory } = efficiencies[kind];
  const share = compute * (unaligned ? efficiencies.unaligned : 1);
  const computeMs = flops / (spec[peak] * 1e9 * share);
  const memoryMs = bytes / (spec.memoryGBs * 1e6 * memory);
  const { elements } = efficiencies;
  const biasMs = biasBytes
    ? (elements.launches * spec.launchUs) / 1e3 + (2 * biasBytes) / (spec.memoryGBs * 1e6 * elements.memory)
    : 0;
  return (launches * spec.launchUs) / 1e3 + Math.max(computeMs, memoryMs) + biasMs;
}

/** Estimated time of one copy between host and device, ms, given the link's bandwidth in that direction. */
export const estimatedCopyMs = (bytes: number, linkGBs: number, { linkLatencyUs }: DeviceSpec, link: number): number =>
  linkLatencyUs / 1e3 + bytes / (linkGBs * 1e6 * link);
