import { type Graph, type GraphTrial, tensorBytes, tensorOf } from "./graph.js";

/** Bytes of a joint graph's tensor that are one trial's. */
export interface TrialPlace {
  /** Name of the tensor in the joint graph. */
  readonly tensor: string;
  readonly offsetBytes: number;
  readonly bytes: number;
}

/** How many models are fused into the sub-array of a trial, itself among them. */
export const fusedCount = ({ trials = [] }: Pick<Graph, "trials">, { array }: GraphTrial): number =>
  trials.filter((other) => other.array === array).length;

/** The name in a joint graph of a tensor or node that the step of a trial alone, or of those fused with it, calls so. */
export const jointName = ({ array }: GraphTrial, name: string): string => `${array}/${name}`;

/**
 * Where a joint graph has what the step of a trial alone calls so: the whole tensor, or of fused trials its part, for
 * those lie one after the other in each tensor. Throws `unknown tensor: …`.
 */
export const trialPlace = (graph: Graph, trial: GraphTrial, name: string): TrialPlace =>
  partOf(graph, trial, jointName(trial, name));

/** Where a joint graph has a trial's loss. */
export const lossPlace = (graph: Graph, trial: GraphTrial): TrialPlace => partOf(graph, trial, trial.loss);

function partOf(graph: Graph, trial: GraphTrial, tensor: string): TrialPlace {
  const whole = tensorBytes(tensorOf(graph, tensor));
  if (trial.index === undefined) return { tensor, offsetBytes: 0, bytes: whole };
  const bytes = whole / fusedCount(graph, trial);
  return { tensor, offsetBytes: trial.index * bytes, bytes };
}
