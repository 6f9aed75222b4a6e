import { type Graph, isFloat, tensorOf } from "../graph/graph.js";
import { allFinite, firstNonFinite } from "../run/finite.js";
import type { LoadedStep, Runtime } from "../runtime/runtime.js";
import { ratesAt } from "../step/optimizer.js";

/** A step that was run, whose loss was not finite. */
export interface LastStep {
  readonly graph: Graph;
  readonly runtime: Runtime;
  /** The loaded step: it still has the batch. */
  readonly step: Pick<LoadedStep, "read">;
  /** What steps change, by name. */
  readonly state: ReadonlyMap<string, unknown>;
  /** What that was before the update; undefined where it was not kept. */
  readonly kept: ReadonlyMap<string, Uint8Array> | undefined;
  /** The learning rate. */
  readonly rate: number;
  /** Steps before it. */
  readonly runs: number;
}

/**
 * What made a step's loss not finite, in words: the batch, a weight, or the first node whose output holds a NaN or an
 * infinity, found by running the step again in memory of its own. Null if there is none.
 */
export async function culpritOf({ graph, runtime, step, state, kept, rate, runs }: LastStep): Promise<string | null> {
  const values = new Map(kept ?? [...state.keys()].map((name) => [name, step.read(name)] as const));
  const odd = (names: readonly string[]): string | undefined =>
    names.find((name) => {
      const { dtype } = tensorOf(graph, name);
      return isFloat(dtype) && !allFinite(dtype, values.get(name) ?? step.read(name));
    });
  const input = odd(graph.inputs);
  if (input !== undefined) return `input ${input} of the batch holds NaN or infinity`;
  // running statistics are renewed before the update: those of this step stand in what was kept
  const weight = odd([...state.keys()].filter((name) => tensorOf(graph, name).category !== "buffer"));
  if (weight !== undefined)
    return `${weight} holds NaN or infinity ${kept ? "since the step before: its update made it" : "after the step"}`;
  for (const name of graph.inputs) values.set(name, step.read(name));
  for (const [name, bytes] of ratesAt(graph, rate)) values.set(name, bytes);
  const node = await firstNonFinite(graph, runtime, values, runs);
  return node && `${node.name} (${node.op}, ${node.phase}) makes ${node.outputs[0]} not finite`;
}
