import { type BatchNormMode, bindModel } from "./fold.js";
import type { Graph } from "./graph.js";
import { type Model, openOnnx } from "./onnx.js";
import { type CpuRuntime, openCpu } from "./runtime/cpu.js";

const runtimes: Readonly<Record<string, (options: { threads?: number }) => CpuRuntime>> = { cpu: openCpu };

/** Opens the runtime of a backend. Throws `unknown backend: …`. The caller closes it. */
export function openRuntime(backend: string, options: { threads?: number } = {}): CpuRuntime {
  const open = runtimes[backend];
  if (!open) throw new Error(`unknown backend: ${backend} (one of ${Object.keys(runtimes).join(", ")})`);
  return open(options);
}

/** A model file with its dimensions bound: its forward pass, and what the file says of itself. */
export interface BoundModel {
  readonly graph: Graph;
  readonly model: Model;
  /** Things that the reader noticed and a user should know. */
  readonly notes: readonly string[];
}

/**
 * Reads an ONNX file as a forward graph with fixed shapes. `dims` binds its symbolic dimensions; `runtime`, if there is
 * one already, folds its constants; `batchNorm` sets the mode of all batch norms, whatever the file says. Throws one line for anything that is wrong with the file or the dimensions.
 */
export function readModel(
  file: string,
  options: { dims?: Readonly<Record<string, number>>; runtime?: CpuRuntime; batchNorm?: BatchNormMode } = {},
): BoundModel {
  const model = openOnnx(file);
  const runtime = options.runtime ?? openCpu();
  try {
    const { graph, notes } = bindModel(model, {
      dims: options.dims ?? {},
      ...(options.batchNorm ? { batchNorm: options.batchNorm } : {}),
      evaluate: (node, inputs) => runtime.evaluate(node, inputs),
    });
    return { graph, model, notes };
  } finally {
    if (!options.runtime) runtime.close();
  }
}
