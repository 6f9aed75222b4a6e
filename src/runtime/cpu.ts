import os from "node:os";
import { NodeError } from "../graph/errors.js";
import { type Graph, int, type Node, type Tensor } from "../graph/graph.js";
import { bytesOf, type Value, valuesOf } from "../graph/values.js";
import { type Layout, layout } from "../memory/layout.js";
import { callOf } from "../ops/call.js";
import { opOf } from "../ops/index.js";
import { lower } from "../step/lower.js";
import { loadStep } from "./host-step.js";
import { kernelFinder } from "./kernel-cache.js";
import { openKernels } from "./ort.js";
import { ortVersion } from "./ort-api.js";
import type { LoadedStep, Runtime } from "./runtime.js";

export interface CpuRuntime extends Runtime {
  /** As every runtime; `runNow` executes the kernels and nothing else, which is what the interpreter's cost is measured against. */
  load(graph: Graph, layout: Layout): LoadedStep & { runNow(): void };
  /** Runs one node on host values, its body where it has no native kernel. Throws if there is neither. */
  evaluate(node: Node, inputs: readonly (Value | undefined)[]): Value[];
}

/** Opens ONNX Runtime's CPU provider with that many threads (default: all cores). */
export function openCpu(options: { threads?: number } = {}): CpuRuntime {
  const threads = options.threads ?? os.availableParallelism();
  const kernels = openKernels({ threads });
  const findsKernel = kernelFinder(kernels);
  let knownBlock: number | undefined;
  const channelBlock = (): number => {
    knownBlock ??= channelBlockOf(
      (graph) => loadStep(graph, layout(graph), kernels, () => openKernels({ threads })),
      findsKernel,
    );
    return knownBlock;
  };
  const runtime: CpuRuntime = {
    backend: "cpu",
    device: {
      name: os.cpus()[0]?.model.trim() ?? "unknown CPU",
      threads,
      memoryBytes: os.totalmem(),
      runtimeVersion: ortVersion(),
    },
    get channelBlock() {
      return channelBlock();
    },
    hasKernel(node, graph) {
      const { types, cpuRefuses } = opOf(node);
      const { block } = node.attributes;
      if (block?.type === "int" && block.value !== channelBlock()) return false;
      const dtype = graph.tensors.get(node.inputs[0] ?? "")?.dtype;
      if (!types || (dtype && cpuRefuses?.(node, dtype))) return false;
      return findsKernel(node, graph);
    },
    load: (graph, layout) => loadStep(graph, layout, kernels, () => openKernels({ threads })),
    evaluate(node, inputs) {
      const graph = lower(single(node, inputs), runtime.hasKernel);
      const step = loadStep(graph, layout(graph), kernels, () => openKernels({ threads }));
      try {
        step.runNow();
        return graph.outputs.map((name) => {
          const tensor = graph.tensors.get(name) as Tensor;
          return { dtype: tensor.dtype, shape: tensor.shape, data: step.read(name) };
        });
      } finally {
        step.close();
      }
    },
    close: () => kernels.close(),
  };
  return runtime;
}

/** Channels that the convolution kernels of this processor hold side by side, as they lay some out; 1 without such kernels. */
function channelBlockOf(
  load: (graph: Graph) => ReturnType<CpuRuntime["load"]>,
  findsKernel: Runtime["hasKernel"],
): number {
  const channels = 256; // a multiple of every block
  const image: Value = {
    dtype: "float32",
    shape: [1, channels, 1, 2],
    data: bytesOf(
      "float32",
      Array.from({ length: 2 * channels }, (_, i) => i),
    ),
  };
  const node: Node = {
    name: "block",
    domain: "mutwo",
    op: "IntoBlocks",
    inputs: ["image"],
    outputs: ["blocks"],
    attributes: { block: int(1) },
    phase: "forward",
  };
  const graph = single(node, [image]);
  if (!findsKernel(node, graph)) return 1;
  const step = load(graph);
  try {
    step.runNow();
    // the second place of the first channel stands behind the first place of a block
    return valuesOf("float32", step.read("blocks")).indexOf(1);
  } finally {
    step.close();
  }
}

/** A graph of one node whose inputs are constants. */
function single(node: Node, inputs: readonly (Value | undefined)[]): Graph {
  const tensors = new Map<string, Tensor>();
  node.inputs.forEach((name, i) => {
    const value = inputs[i];
    if (name && !value) throw new NodeError(`no value for ${name}`, node);
    if (name && value) tensors.set(name, { ...value, name, category: "constant" });
  });
  const types = opOf(node).infer(callOf(node, tensors));
  node.outputs.forEach((name, i) => {
    const type = types[i];
    if (name && type) tensors.set(name, { ...type, name, category: "activation" });
  });
  return { name: node.name, nodes: [node], tensors, inputs: [], outputs: node.outputs.filter(Boolean), state: [] };
}
