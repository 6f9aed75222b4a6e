import type { Graph } from "../graph/graph.js";
import type { Layout } from "../memory/layout.js";
import { hostCopy } from "./host-copies.js";
import { HostMemory } from "./host-memory.js";
import { hostWorkspace } from "./host-workspace.js";
import { invokeNode, prepareStep } from "./interpreter.js";
import { measureOnHost } from "./measure.js";
import type { Kernels } from "./ort.js";
import type { LoadedStep } from "./runtime.js";

/** Allocates a graph's arena in the host's memory, and runs its nodes in list order. */
export function loadStep(
  graph: Graph,
  layout: Layout,
  kernels: Kernels,
  openFresh: () => Kernels,
): LoadedStep & { runNow(): void } {
  const memory = new HostMemory(graph, layout);
  const step = prepareStep(graph, kernels, {
    address: (name) => memory.address(name),
    read: (name) => memory.read(name),
    own: (node) => hostCopy(node, graph, memory),
    hostInputs: () => [],
    kernelsKnowShapes: false,
  });
  const loaded: LoadedStep = {
    allocatedBytes: memory.allocatedBytes,
    write: (name, data) => memory.write(name, data),
    read: (name) => memory.valueOf(name).slice(),
    run: (options) => step.run(options),
    skipTo: (runs) => step.skipTo(runs),
    measure: (options) =>
      measureOnHost(graph, loaded, () => hostWorkspace(graph, step.nodes, kernels, openFresh), options),
    close: () => step.release(),
  };
  const runNow = (): void =>
    kernels.within((invoke) => {
      for (const node of step.nodes) invokeNode(invoke, node);
    });
  return { ...loaded, runNow };
}
