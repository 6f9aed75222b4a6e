import { few } from "../format.js";
import { type TensorType, tensorBytes } from "../graph/graph.js";
import { readSafetensorsFile, writeSafetensors } from "../model/safetensors.js";
import { exactly, number, object, problemIn, text } from "../schema.js";
import { writeDurably } from "../writing.js";
import { isCheckpoint, readCheckpoint } from "./checkpoint.js";
import type { TrainerState } from "./trainer.js";

/** The name of the text beside the tensors. */
const key = "mutwo-state";

const stateVersion = 1;

const described = object({ version: exactly(stateVersion), steps: number, learningRate: number, model: text });

/** Writes a state, whole or not at all; `model` is the model file's SHA-256. Throws `cannot write FILE (CODE)`. */
export function writeState(file: string, { steps, learningRate, tensors }: TrainerState, model: string): void {
  const text = JSON.stringify({ version: stateVersion, steps, learningRate, model });
  writeDurably(file, (made) => writeSafetensors(made, tensors, { [key]: text }));
}

/** Reads a state that `writeState` wrote, or that of a checkpoint. Throws one line for anything else. */
export function readState(file: string): TrainerState {
  const { values, metadata } = readSafetensorsFile(file);
  if (isCheckpoint(metadata)) return readCheckpoint(file).state;
  const said = Object.hasOwn(metadata, key) ? metadata[key] : undefined;
  if (said === undefined) throw new Error(`not a state of a trainer: ${file}`);
  let value: unknown;
  try {
    value = JSON.parse(said);
  } catch (error) {
    throw new Error(`state of a trainer is damaged: ${file}`, { cause: error });
  }
  const problem = problemIn(described, value);
  if (problem !== undefined) throw new Error(`state of a trainer is damaged: ${problem} (${file})`);
  const { steps, learningRate } = value as { readonly steps: number; readonly learningRate: number };
  return { steps, learningRate, tensors: values };
}

/**
 * Throws for tensors that are not those of a training's state, in name, element type or shape; `where` ends the message.
 */
export function checkState(
  tensors: TrainerState["tensors"],
  state: ReadonlyMap<string, TensorType>,
  where: string,
): void {
  const missing = [...state.keys()].filter((name) => !tensors.has(name));
  if (missing.length) throw new Error(`the state lacks ${few(missing)}${where}`);
  const unknown = [...tensors.keys()].filter((name) => !state.has(name));
  if (unknown.length) throw new Error(`the state holds what this training has not: ${few(unknown)}${where}`);
  for (const [name, { dtype, shape, data }] of tensors) {
    const own = state.get(name) as TensorType;
    if (own.dtype !== dtype || own.shape.join() !== [...shape].join() || data.length !== tensorBytes(own))
      throw new Error(
        `shape mismatch: ${name} of the state is ${dtype}[${shape}], here ${own.dtype}[${own.shape}]${where}`,
      );
  }
}
