import { type Graph, type Node, tensorOf } from "../../graph/graph.js";
import { opOf } from "../../ops/index.js";
import type { Pointer } from "../ort-api.js";
import type { Gpu, Means } from "./context.js";
import { runsOwn } from "./nodes.js";

/**
 * Whether ONNX Runtime's kernel of a node passes addresses or shapes through pinned host memory. The next kernels may
 * write over it: a captured step with such a node is captured again when anything else has run since.
 */
export function readsPinned(node: Node, graph: Pick<Graph, "tensors" | "name">): boolean {
  const { pins } = opOf(node);
  if (pins !== "batches") return pins === "always";
  const [left, right] = node.inputs.map((name) => tensorOf(graph, name).shape.slice(0, -2));
  return Boolean(right?.length) && left?.join() !== right?.join();
}

/** Whether a captured step does what the step does, on a device with these means. */
export const canCapture = (graph: Graph, means: Means): boolean =>
  // ONNX Runtime's kernels draw their numbers when they are called: a replay would draw the same ones again
  !graph.nodes.some((node) => opOf(node).random && isLaunched(node, graph, means));

/** Whether a captured step refers to memory that kernels of other steps write over. */
export const isFragile = (graph: Graph, means: Means): boolean =>
  graph.nodes.some((node) => isLaunched(node, graph, means) && readsPinned(node, graph));

/** Whether a kernel of ONNX Runtime is launched for a node. */
const isLaunched = (node: Node, graph: Graph, means: Means): boolean =>
  !opOf(node).view && !runsOwn(node, graph, means);

/** A step as one CUDA graph, captured when it is wanted and whenever what it refers to has moved. */
export class CapturedStep {
  private captured: { readonly graph: Pointer; readonly version: number; readonly uses: number } | undefined;

  /** `capture` makes a CUDA graph of the step; a fragile one is made again when other kernels have run since. */
  constructor(
    private readonly fragile: boolean,
    private readonly gpu: Pick<Gpu, "kernelUses"> & {
      readonly cuda: Pick<Gpu["cuda"], "destroyGraph">;
      /** Changes when what kernels take for themselves moves. */
      version(): number;
    },
    private readonly capture: () => Pointer,
  ) {}

  /** The CUDA graph, captured anew if that is needed. */
  graph(): Pointer {
    const { gpu, captured } = this;
    if (captured && captured.version === gpu.version() && !(this.fragile && captured.uses !== gpu.kernelUses()))
      return captured.graph;
    this.forget();
    const graph = this.capture();
    this.captured = { graph, version: gpu.version(), uses: gpu.kernelUses() };
    return graph;
  }

  /** Destroys what was captured. */
  forget(): void {
    if (this.captured) this.gpu.cuda.destroyGraph(this.captured.graph);
    this.captured = undefined;
  }
}
