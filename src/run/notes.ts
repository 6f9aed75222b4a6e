import { few, formatBytes } from "../format.js";
import type { Graph, Tensor } from "../graph/graph.js";
import type { Untrained } from "../model/roles.js";
import type { Plan } from "../plan/plan.js";
import type { Runtime } from "../runtime/runtime.js";
import { frozenNames } from "../step/training.js";
import { firstNonFinite } from "./finite.js";
import type { Profile } from "./profile.js";
import type { Equality, Run, Warning } from "./run.js";

/** That nothing was executed, and what follows from that. */
const replayed = (after: Profile | null): Warning => ({
  about: "run",
  kind: "replayed",
  text: `replayed from a recording: nothing was executed, allocated or compared${after?.simulated ? ", and the planned step's time is simulated (the sum of its nodes')" : ""}`,
});

/** That nothing was executed, and what the numbers rest on. */
const estimated = ({ device }: Profile): Warning => ({
  about: "run",
  kind: "estimated",
  text: `estimated for ${device.name} from its description: nothing was executed, measured, allocated or compared; every time is estimated, memory is that of the step as it would be laid out there`,
});

/** Which step of an estimate is larger than the device's memory; a plan made again says it again. */
export const unfitWarnings = (before: Profile, plan: Plan | null): Warning[] =>
  (
    [
      ["unplanned", before.arenaBytes],
      ["planned", plan?.feasible ? plan.peakBytes : 0],
    ] as const
  ).flatMap(([about, bytes]) => {
    const { name, memoryBytes } = before.device;
    if (!before.estimated || before.backend === "tables" || bytes <= memoryBytes) return [];
    const text = `the ${about} step does not fit in the ${formatBytes(memoryBytes)} of ${name}: its values alone need ${formatBytes(bytes)}`;
    return [{ about, text }];
  });

/** What two profiles and their comparison show that a user should know before believing them. */
export function warningsOf(before: Profile, after: Profile | null, equality: Equality | null): Warning[] {
  const warnings: Warning[] = [];
  if (before.backend === "replay") warnings.push(replayed(after));
  if (before.estimated) warnings.push(estimated(before));
  if (before.offloaded)
    warnings.push({
      about: "unplanned",
      text: `the unplanned step does not fit into the device: its nodes were measured with every activation swapped out (${formatBytes(before.offloaded.allocatedBytes)}), and its step time is their sum, not measured`,
    });
  if (after && !equality && after.backend === "cuda")
    warnings.push({
      about: "planned",
      text: before.offloaded
        ? "the planned step is compared with nothing: the unplanned one does not fit, and the host would have to pin too much for the one with every activation swapped out"
        : "the planned step is compared with nothing: the device's memory did not suffice for the deterministic kernels beside it",
    });
  for (const [about, profile] of [["unplanned", before] as const, ["planned", after] as const]) {
    const losses = profile?.losses ?? [];
    if (losses.includes(null))
      warnings.push({
        about,
        text: `the ${about} step's loss is not finite: of ${losses.length} recorded losses number ${losses.indexOf(null) + 1} is the first`,
      });
  }
  if (equality?.different.length)
    warnings.push({
      about: "planned",
      text: `${equality.different.length} tensors of the planned step differ from the unplanned one's`,
    });
  return warnings;
}

/** Says so where a plan's decisions cost time and lower no peak: others hold it, or the blocks' own temporaries. */
export const uselessPlan = ({ arenaBytes }: Pick<Profile, "arenaBytes">, plan: Plan | null): Warning[] =>
  plan?.decisions.length && plan.peakBytes >= arenaBytes
    ? [
        {
          about: "planned",
          text: `the plan's ${plan.decisions.length} decisions lower no peak: it is ${formatBytes(plan.peakBytes)}, and ${formatBytes(arenaBytes)} unplanned`,
        },
      ]
    : [];

/** The warnings of a run that hold whatever is planned: all but what is said of the planned step. */
export const withoutPlanned = ({ warnings }: Pick<Run, "warnings">): Warning[] =>
  warnings
    .filter(({ about }) => about !== "planned")
    .map((warning) => (warning.kind === "replayed" ? replayed(null) : warning));

/** A note on parameters without a gradient, as `untrainedParameters` words it. */
export const untrainedNote = /^\d+ parameters have no path to the loss/;

/** Which parameters the step leaves as they are, and why. */
export function untrainedParameters(parameters: readonly Tensor[], step: Graph, freeze: readonly string[]) {
  const trained = new Set([...step.tensors.values()].filter((t) => t.within).map((t) => t.name));
  const frozen = frozenNames(parameters, freeze);
  const untrained = parameters.flatMap(({ name, shape }): Untrained[] =>
    trained.has(name) ? [] : [{ name, shape, reason: frozen.has(name) ? "frozen" : "no path to the loss" }],
  );
  const apart = untrained.filter(({ name }) => !frozen.has(name)).map(({ name }) => name);
  const notes = [
    ...(frozen.size ? [`${frozen.size} parameters are frozen: ${few([...frozen])}`] : []),
    ...(apart.length
      ? [`${apart.length} parameters have no path to the loss and stay as they are: ${few(apart)}`]
      : []),
  ];
  return { untrained, notes };
}

/** The names of tensors that are not trained, by the reason. */
export function byReason(untrained: readonly Untrained[]): [reason: string, names: string[]][] {
  const names = new Map<string, string[]>();
  for (const { name, reason } of untrained) {
    const list = names.get(reason);
    if (list) list.push(name);
    else names.set(reason, [name]);
  }
  return [...names];
}

/** How many float tensors the file holds that are not trained, by reason, and the first of their names. */
export function heldNotes(untrained: readonly Untrained[]): string[] {
  if (!untrained.length) return [];
  const reasons = byReason(untrained)
    .map(([reason, names]) => `${names.length}: ${reason}`)
    .join("; ");
  return [`${untrained.length} float tensors are not trained (${reasons}): ${few(untrained.map(({ name }) => name))}`];
}

/** Names the first node of the unplanned step that makes a NaN or an infinity out of finite values. */
export async function culprit(
  graph: Graph,
  runtime: Runtime,
  values: ReadonlyMap<string, Uint8Array>,
): Promise<Warning> {
  const node = await firstNonFinite(graph, runtime, values);
  const text =
    node === null
      ? "the loss becomes not finite only after several steps: no node makes a NaN or an infinity in the first"
      : `the first NaN or infinity is made by ${node.name} (${node.op}, ${node.phase})`;
  return { about: "unplanned", text };
}
