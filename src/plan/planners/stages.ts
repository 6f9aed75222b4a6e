import { storages } from "../../memory/storages.js";
import { originOf } from "../../memory/views.js";
import { type Allowed, allowedActions } from "../allowed.js";
import type { Compiled, CompiledNode } from "../compiled.js";
import type { PlanProblem } from "../plan.js";

/** A node of the forward phase that may run again, or whose outputs blocks start from. */
export interface Stage {
  readonly rank: number;
  /** Places of the nodes that it reads. */
  readonly sources: readonly number[];
  /** Bytes of all that it makes, and of the saved activations among it. */
  readonly bytes: number;
  readonly savedBytes: number;
  /** Numbers of those activations. */
  readonly saved: readonly number[];
  readonly mayRecompute: boolean;
}

/** Forward nodes without views, which take no part of their own. */
export function stagesOf(problem: PlanProblem, graph: Compiled): Stage[] {
  const allowed = allowedActions(problem);
  const origin = originOf(problem.graph);
  const names = [...problem.graph.tensors.keys()];
  const number = new Map(names.map((name, i) => [name, i]));
  const placeOf = new Map<number, number>();
  const activation = new Map([...graph.activationTensors].map((tensor, i) => [tensor, i]));
  const isHere = (name: number): boolean => name >= 0 && !graph.host[name] && !graph.after[name];
  const stages: Stage[] = [];
  graph.nodes.forEach((node, rank) => {
    if (!node.forward || node.view) return;
    placeOf.set(rank, stages.length);
    const outputs = [...node.outputs].filter(isHere);
    const saved = outputs.flatMap((name) => activation.get(name) ?? []);
    const roots = [...node.copyInputs]
      .filter((name) => name >= 0)
      .map((name) => number.get(origin(names[name] as string)) as number);
    stages.push({
      rank,
      sources: [...new Set(roots.flatMap((root) => placeOf.get(graph.made[root] as number) ?? []))].filter(
        (place) => place < stages.length,
      ),
      bytes: outputs.reduce((sum, name) => sum + (graph.bytes[name] as number), 0),
      savedBytes: saved.reduce((sum, i) => sum + (graph.bytes[graph.activationTensors[i] as number] as number), 0),
      saved,
      mayRecompute:
        saved.length > 0 && saved.every((i) => (allowed.get(graph.activations[i] as string) as Allowed).recompute),
    });
  });
  return stages;
}

/** For each stage the backward nodes that read an activation of it. */
export function readersOf(graph: Compiled, stages: readonly Stage[]): number[][] {
  const stageOf = new Map(stages.flatMap(({ saved }, i) => saved.map((activation) => [activation, i] as const)));
  const ranks = stages.map((): number[] => []);
  graph.nodes.forEach((node: CompiledNode, rank) => {
    if (node.forward || node.view) return;
    for (const name of node.inputs) {
      const at = name < 0 ? undefined : stageOf.get(graph.owner[name] as number);
      if (at !== undefined) ranks[at]?.push(rank);
    }
  });
  return ranks;
}

/** Bytes of what is no activation, before and while each backward node runs. */
export function memoryOf(
  { graph: step, rows }: PlanProblem,
  graph: Compiled,
  backward: readonly number[],
  live: Float64Array,
): { before: number[]; at: number[] } {
  const saved = new Set(graph.activations);
  const { all } = storages(step);
  const resident = all.reduce((sum, { resident: always, bytes }) => sum + (always ? bytes : 0), 0);
  const isActivation = ({ tenants }: (typeof all)[number], rank: number): boolean =>
    saved.has(tenants.findLast(({ from }) => from < rank)?.tensor ?? "");
  return {
    before: backward.map((rank) =>
      all.reduce(
        (sum, storage) =>
          storage.resident || storage.start >= rank || storage.end < rank || isActivation(storage, rank)
            ? sum
            : sum + storage.bytes,
        resident,
      ),
    ),
    at: backward.map((rank) =>
      rows.reduce(
        (sum, row) => sum - (row.createdRank <= rank && rank <= row.lastBackwardAccess ? row.memoryBytes : 0),
        live[rank] as number,
      ),
    ),
  };
}
