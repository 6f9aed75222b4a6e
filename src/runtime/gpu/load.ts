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
      get allocatedBytes() {
        return layout.arenaBytes + step.staging.bytes;
      },
      write: (name, data) => step.memory.write(name, data),
      read: step.readValue,
      run: (options) => step.run(options),
      stage: (values) => step.staging.put(values),
      skipTo: (runs) => step.skipTo(runs),
      measure: (options) => measureStep(step, options),
      close: () => releases.close(),
    };
  } catch (error) {
    releases.close();
    throw error;
  }
}
