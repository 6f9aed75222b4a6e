import { bytesPerElement, type Graph, type GraphTrial, type Tensor, tensorBytes, tensorOf } from "./graph.js";

/** A piece of a tensor of a trial's own step, and where a joint graph has it. */
export interface TrialPiece {
  /** Where it begins in the trial's own tensor. */
  readonly ownOffset: number;
  /** Name of the tensor in the joint graph, and where the piece begins in it. */
  readonly tensor: string;
  readonly offsetBytes: number;
  readonly bytes: number;
}

/** The name in a joint graph of a tensor or node that the step of a trial alone, or of those fused with it, calls so. */
export const jointName = ({ array }: GraphTrial, name: string): string => `${array}/${name}`;

/** Which member of a joint graph a tensor or node is of, by its name: the name before the slash; of any other graph, and of what is of none, `""`. */
export function memberOf({ trials = [] }: Pick<Graph, "trials">): (name: string) => string {
  const arrays = new Set(trials.map(({ array }) => array));
  return (name) => {
    const first = name.slice(0, Math.max(0, name.indexOf("/")));
    return arrays.has(first) ? first : "";
  };
}

/** How many models are fused into the sub-array of a trial, itself among them. */
export const fusedCount = ({ trials = [] }: Pick<Graph, "trials">, { array }: GraphTrial): number =>
  trials.filter((other) => other.array === array).length;

/** Where a joint graph has a trial's loss. */
export function lossPlace(graph: Graph, trial: GraphTrial): Omit<TrialPiece, "ownOffset"> {
  const { ownOffset: _, ...place } = partOf(graph, trial, trial.loss);
  return place;
}

/**
 * Where a joint graph has a tensor of a trial's own step, piece by piece: all of it in one, or of fused trials its part of
 * each tensor; the parts lie one after the other but in scalars, which all share. Flat buffers of fused trials hold one
 * parameter of all after another. Throws `unknown tensor: …`.
 */
export function trialPieces(graph: Graph, trial: GraphTrial, own: Graph, name: string): TrialPiece[] {
  const tensor = trial.index === undefined ? undefined : tensorOf(own, name);
  const flat = tensor && flatOf(own, tensor);
  if (!tensor || flat === undefined) return [partOf(graph, trial, jointName(trial, name))];
  const scale = bytesPerElement(tensor.dtype) / bytesPerElement(tensorOf(own, flat).dtype);
  // `.m` of a state; a parameter may lie in another buffer than alone
  const state = name.slice(flat.length);
  return partsOf(own, flat).map(({ name: part, within }) => {
    const place = partOf(graph, trial, jointName(trial, part));
    const joint = tensorOf(graph, place.tensor).within;
    return {
      ownOffset: scale * (within?.offsetBytes ?? 0),
      tensor: `${joint?.tensor ?? place.tensor}${state}`,
      offsetBytes: scale * ((joint?.offsetBytes ?? 0) + place.offsetBytes),
      bytes: scale * place.bytes,
    };
  });
}

/** The bytes of a tensor of a trial's own step, as a joint step has them. */
export function readTrial(pieces: readonly TrialPiece[], read: (name: string) => Uint8Array): Uint8Array {
  const [only] = pieces;
  if (only && pieces.length === 1 && only.ownOffset === 0) {
    const all = read(only.tensor);
    return all.length === only.bytes ? all : all.slice(only.offsetBytes, only.offsetBytes + only.bytes);
  }
  const value = new Uint8Array(pieces.reduce((most, { ownOffset, bytes }) => Math.max(most, ownOffset + bytes), 0));
  for (const { ownOffset, tensor, offsetBytes, bytes } of pieces)
    value.set(read(tensor).subarray(offsetBytes, offsetBytes + bytes), ownOffset);
  return value;
}

/**
 * Puts the bytes of a tensor of a trial's own step among values of the joint graph; a value that several trials share is
 * made for all of them, and never the one that was given. Throws for bytes that do not fit their places.
 */
export function putTrial(
  values: Map<string, Uint8Array>,
  graph: Pick<Graph, "tensors" | "name">,
  pieces: readonly TrialPiece[],
  own: Uint8Array,
): void {
  const count = pieces.reduce((sum, { bytes }) => sum + bytes, 0);
  if (count !== own.length) throw new Error(`${pieces[0]?.tensor} takes ${count} bytes of a model, not ${own.length}`);
  for (const { tensor, ownOffset, offsetBytes, bytes } of pieces) {
    const whole = tensorBytes(tensorOf(graph, tensor));
    if (whole === bytes) {
      values.set(tensor, own);
      continue;
    }
    const all = values.get(tensor) ?? new Uint8Array(whole);
    all.set(own.subarray(ownOffset, ownOffset + bytes), offsetBytes);
    values.set(tensor, all);
  }
}

/** The flat buffer of parameters that a tensor is, or holds a state of the optimizer for; undefined of any other. */
function flatOf(own: Graph, { name, shape }: Tensor): string | undefined {
  if (shape.length !== 1) return undefined;
  for (const { category, within } of own.tensors.values())
    if (category === "parameter" && within && (name === within.tensor || name.startsWith(`${within.tensor}.`)))
      return String(tensorOf(own, within.tensor).shape) === String(shape) ? within.tensor : undefined;
  return undefined;
}

/** The parameters within a flat buffer. */
const partsOf = (own: Graph, flat: string): Tensor[] =>
  [...own.tensors.values()].filter(({ category, within }) => category === "parameter" && within?.tensor === flat);

function partOf(graph: Graph, trial: GraphTrial, tensor: string): TrialPiece {
  const type = tensorOf(graph, tensor);
  const whole = tensorBytes(type);
  if (trial.index === undefined || !type.shape.length) return { ownOffset: 0, tensor, offsetBytes: 0, bytes: whole };
  const bytes = whole / fusedCount(graph, trial);
  return { ownOffset: 0, tensor, offsetBytes: trial.index * bytes, bytes };
}
