import { createHash } from "node:crypto";
import { closeSync, readSync } from "node:fs";
import { openFile } from "../files.js";
import type { Graph } from "../graph/graph.js";
import { type CpuRuntime, openCpu } from "../runtime/cpu.js";
import type { Runtime } from "../runtime/runtime.js";
import { type BindOptions, bindModel } from "./bind.js";
import type { Separated } from "./merged.js";
import type { Model } from "./model.js";
import { openOnnx } from "./onnx.js";
import type { Untrained } from "./roles.js";

/** SHA-256 of a model file, read piece by piece: such files are large. Throws `cannot read model: …`. */
export function sha256Of(file: string): string {
  const hash = createHash("sha256");
  const piece = Buffer.alloc(2 ** 20);
  const { descriptor } = openFile("model", file);
  try {
    for (let read = readSync(descriptor, piece); read > 0; read = readSync(descriptor, piece))
      hash.update(piece.subarray(0, read));
  } finally {
    closeSync(descriptor);
  }
  return hash.digest("hex");
}

/** Whether a file is the model that was read once, by its SHA-256. Throws `cannot read model: …` or `the model has changed since the run: …`. */
export function checkModel(file: string, expected: string): void {
  const sha256 = sha256Of(file);
  if (sha256 !== expected)
    throw new Error(`the model has changed since the run: ${file} (sha256 ${sha256.slice(0, 12)}…)`);
}

/** A model file with its dimensions bound: its forward pass, and what the file says of itself. */
export interface BoundModel {
  readonly graph: Graph;
  readonly model: Model;
  /** Float tensors of the file that are not trained, each with the reason. */
  readonly untrained: readonly Untrained[];
  /** Tensors of the graph that others stand for in the file. */
  readonly separated: readonly Separated[];
  /** Things that the reader noticed and a user should know. */
  readonly notes: readonly string[];
}

/** Whether a runtime can evaluate single nodes on host values. */
const canEvaluate = (runtime: Runtime | undefined): runtime is CpuRuntime => runtime?.backend === "cpu";

/**
 * Reads an ONNX file as a forward graph with fixed shapes. `dims` binds its symbolic dimensions; constants are folded on
 * the CPU, by `runtime` if it is the CPU's; `batchNorm` sets the mode of all batch norms, whatever the file says; `output`
 * names the one tensor that is wanted (null: the one that a loss is of unless it names one), and what that does not need
 * is left out. Throws one line for anything that is wrong with what is needed, or with the dimensions.
 */
export function readModel(file: string, options: ReadOptions = {}): BoundModel {
  return bindRead(openOnnx(file), options);
}

/** How a file that was read is bound: `readModel` says what each is. */
export interface ReadOptions extends Omit<BindOptions, "evaluate"> {
  readonly runtime?: Runtime;
}

/** The same of a model that was read already, perhaps in another mode. */
export function bindRead(model: Model, { runtime: given, ...options }: ReadOptions): BoundModel {
  const own = canEvaluate(given) ? undefined : openCpu();
  const runtime = own ?? (given as CpuRuntime);
  try {
    const { graph, untrained, separated, notes } = bindModel(model, {
      ...options,
      evaluate: (node, inputs) => runtime.evaluate(node, inputs),
    });
    return { graph, model, untrained, separated, notes };
  } finally {
    own?.close();
  }
}
