import { formatBytes } from "../format.js";
import type { Graph, Tensor } from "../graph/graph.js";
import type { Runtime } from "../runtime/runtime.js";
import { frozenNames } from "../step/training.js";
import { firstNonFinite } from "./finite.js";
import type { Profile } from "./profile.js";
import type { Equality } from "./run.js";

export function warningsOf(before: Profile, after: Profile | null, equality: Equality | null): string[] {
  const warnings: string[] = [];
  if (before.backend === "replay")
    warnings.push(
      `replayed from a recording: nothing was executed, allocated or compared${after?.simulated ? ", and the planned step's time is simulated (the sum of its nodes')" : ""}`,
    );
  if (before.offloaded)
    warnings.push(
      `the unplanned step does not fit into the device: its nodes were measured with every activation swapped out (${formatBytes(before.offloaded.allocatedBytes)}), and its step time is their sum, not measured`,
    );
  for (const [which, profile] of [["unplanned", before] as const, ["planned", after] as const]) {
    const bad = profile?.losses.indexOf(null) ?? -1;
    if (bad >= 0) warnings.push(`the ${which} step's loss is not finite from iteration ${bad + 1} on`);
  }
  if (equality?.different.length)
    warnings.push(`${equality.different.length} tensors of the planned step differ from the unplanned one's`);
  return warnings;
}

/** Which parameters the step leaves as they are, and why. */
export function untrainedNotes(parameters: readonly Tensor[], step: Graph, freeze: readonly string[]): string[] {
  const trained = new Set([...step.tensors.values()].filter((t) => t.within).map((t) => t.name));
  const frozen = frozenNames(parameters, freeze);
  const untrained = parameters.filter(({ name }) => !trained.has(name) && !frozen.has(name)).map(({ name }) => name);
  const few = (names: readonly string[]): string => `${names.slice(0, 3).join(", ")}${names.length > 3 ? ", …" : ""}`;
  return [
    ...(frozen.size ? [`${frozen.size} parameters are frozen: ${few([...frozen])}`] : []),
    ...(untrained.length
      ? [`${untrained.length} parameters have no path to the loss and stay as they are: ${few(untrained)}`]
      : []),
  ];
}

/** A sentence that names the first node that makes a NaN or an infinity out of finite values. */
export async function culprit(
  graph: Graph,
  runtime: Runtime,
  values: ReadonlyMap<string, Uint8Array>,
): Promise<string> {
  const node = await firstNonFinite(graph, runtime, values);
  return node === null
    ? "the loss becomes not finite only after several steps: no node makes a NaN or an infinity in the first"
    : `the first NaN or infinity is made by ${node.name} (${node.op}, ${node.phase})`;
}
