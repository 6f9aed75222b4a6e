import type { Graph } from "../../graph/graph.js";
import type { Layout } from "../../memory/layout.js";
import type { LoadedStep } from "../runtime.js";
import type { Gpu } from "./context.js";
import { refuseHuge } from "./huge.js";
import { measureStep } from "./measurement.js";
import { Releases } from "./releases.js";
import { GpuStep } from "./step.js";

/** A graph on the GPU: its arena allocated, its kernels looked up. Throws as `refuseHuge` does. */
export function loadOnGpu(graph: Graph, layout: Layout, gpu: Gpu): LoadedStep {
  refuseHuge(graph);
  const releases = new Releases();
  try {
    const step = new GpuStep(graph, layout, gpu, releases);
    return {
      allocatedBytes: layout.arenaBytes,
      write: (name, data) => step.memory.write(name, data),
      read: step.memory.read,
      run: (options) => step.run(options),
      measure: (options) => measureStep(step, options),
      close: () => releases.close(),
    };
  } catch (error) {
    releases.close();
    throw error;
  }
}
