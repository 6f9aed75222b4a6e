import type { Graph } from "../graph/graph.js";
import { differingArchitecture, namesIn } from "./architecture.js";
import { chunksOf } from "./loss.js";
import type { Target } from "./lower.js";
import { differingOptimizer } from "./optimizer.js";
import { parseNamed } from "./settings.js";
import { adaptedFor } from "./step.js";
import { type PreparedModel, prepared, type StepOptions } from "./training.js";

/** One of the models that are to be trained as one. */
export interface FusedMember {
  /** `m3`: no other member has it. */
  readonly name: string;
  /** Its forward graph. */
  readonly graph: Graph;
  readonly options: StepOptions;
  /** Of its random numbers. */
  readonly seed: number;
}

/** Each member's model before its gradients; members of one graph and the same options share it. */
export function preparedOf(runtime: Target, members: readonly FusedMember[]): readonly PreparedModel[] {
  const known = new Map<Graph, Map<string, PreparedModel>>();
  return members.map(({ graph, options }) => {
    const { loss, precision, freeze } = options;
    const key = JSON.stringify([loss, precision, freeze]);
    const same = known.get(graph) ?? new Map<string, PreparedModel>();
    known.set(graph, same);
    const own = same.get(key) ?? prepared(graph, options, adaptedFor(runtime));
    same.set(key, own);
    return own;
  });
}

/** Why the options of some members are not of one step; undefined if they are. */
function differingOptions(members: readonly FusedMember[], models: readonly PreparedModel[]): string | undefined {
  const [first] = members as [FusedMember];
  const facts: readonly (readonly [what: string, of: (options: StepOptions) => unknown])[] = [
    ["loss", ({ loss }) => parseNamed(loss).name],
    ["accumulation", ({ accumulate = 1 }) => accumulate],
    ["clipping", ({ clipNorm }) => clipNorm !== undefined],
    ["precision", ({ precision = "" }) => precision],
    ["rates", ({ rates = "constants" }) => rates],
  ];
  for (const { name, options } of members)
    for (const [what, of] of facts)
      if (of(options) !== of(first.options)) return `${name} has another ${what} than ${first.name}`;
  for (const { name, options } of members) {
    const difference = differingOptimizer(parseNamed(first.options.optimizer), parseNamed(options.optimizer));
    if (difference) return `${name} has ${difference}`;
  }
  if (models.some(({ loss }) => chunksOf(loss) > 1)) return `the loss of ${first.name} is in chunks`;
  return undefined;
}

/** Why members cannot be trained as one step; undefined if they can. */
export function refusal(members: readonly FusedMember[], models: readonly PreparedModel[]): string | undefined {
  const [first] = models as [PreparedModel];
  const options = differingOptions(members, models);
  if (options) return options;
  const named = members.map(({ name }, i) => ({ name, graph: (models[i] as PreparedModel).model }));
  const difference = differingArchitecture(named);
  if (difference) return difference;
  for (const [i, { model, output, wanted }] of models.entries()) {
    const names = namesIn(first.model, model);
    const trained = [...first.wanted].filter((name) => names.has(name)).map((name) => names.get(name) as string);
    const { name } = members[i] as FusedMember;
    if (names.get(first.output) !== output) return `${name} has its loss of another output`;
    if (trained.some((parameter) => !wanted.has(parameter)) || wanted.size !== first.wanted.size)
      return `${name} freezes other parameters`;
  }
  return undefined;
}

/** Why members cannot share a graph with a model axis, in a line; undefined if they can. Throws what `trainingStep` does. */
export const notFusable = (runtime: Target, members: readonly FusedMember[]): string | undefined =>
  refusal(members, preparedOf(runtime, members));
