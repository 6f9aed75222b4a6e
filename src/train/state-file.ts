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
