import { plannedRing } from "../plan/executed.js";
import {
  choosePartition,
  type Joint,
  type PartitionChoice,
  type Refused,
  type RefusedPartition,
  type SimulatedPartition,
} from "../plan/multiplex/choose.js";
import type { Multiplexed } from "../plan/multiplex/multiplex.js";
import type { Share } from "../plan/multiplex/partitions.js";
import { steadyOf } from "../plan/multiplex/steady.js";
import type { Plan } from "../plan/plan.js";
import { planGraph } from "../plan/planners/index.js";
import { together } from "../step/together.js";
import { type Alone, type Scene, withoutPlan } from "./alone.js";
import { fusables, type JointStep, namesOf, type SubArray, subArrayOf } from "./arrange.js";
import { type BuiltTrial, jointValues } from "./build-trials.js";
import { type Pair, pairOf } from "./lane-capacity.js";
import { assumedSwapBytesPerMs, copyMs } from "./node-rows.js";
import { withDefaults } from "./option-forms.js";
import type { Profile } from "./profile.js";
import { measureBuilt } from "./profile-built.js";
import { constraintsOf, effortOf } from "./replan.js";
import type { PartitionRow } from "./together.js";

/** So many ways to cut models into sub-arrays are simulated at most, of at most so many sub-arrays. */
const most = { ways: 4, subArrays: 16 };

/** Sub-arrays in turn, with what was measured of them. */
interface MeasuredJoint extends Joint {
  readonly arrays: readonly SubArray[];
  /** The step without a plan in two lanes, where it was measured. */
  readonly plain?: Pair["plain"];
}

/** The best way to multiplex models, and what was simulated for it. */
export interface MultiplexedStep {
  /** The models in turn. */
  readonly joint: JointStep;
  readonly found: Multiplexed;
  /** The step without a plan in as many lanes, where it was measured. */
  readonly plain?: Pair["plain"];
}

/** Measures sub-arrays, each kind once. */
class Bench {
  private readonly known = new Map<string, Promise<Profile>>();

  constructor(
    private readonly scene: Scene,
    private readonly alone: ReadonlyMap<string, Alone>,
  ) {}

  /** Times of the nodes of a sub-array, ms. */
  private async nodeMs(array: SubArray): Promise<readonly number[]> {
    const { member, trials } = array;
    const [first] = trials as [BuiltTrial];
    const lone = trials.length === 1 ? this.alone.get(first.spec.name) : undefined;
    const profile = lone?.profile ?? (await this.fused(array));
    // nodes that are timed one by one take longer than in a captured step
    const share = profile.nodesMs > 0 ? profile.step.medianMs / profile.nodesMs : 1;
    const ms = profile.nodes.map(({ time }) => share * time.medianMs);
    if (ms.length === member.graph.nodes.length) return ms;
    throw new Error(`sub-arrays of one kind have other nodes: ${member.name}`);
  }

  private fused({ member, trials }: SubArray): Promise<Profile> {
    const { runtime, options } = this.scene;
    const key = JSON.stringify([trials.length, member.graph.nodes.map(({ op, outputs }) => [op, outputs])]);
    const measured =
      this.known.get(key) ??
      (async () => {
        const baseline = together(runtime, [member]);
        const values = jointValues(runtime, baseline, trials);
        return (await measureBuilt({ baseline, values }, runtime, withoutPlan(options))).before;
      })();
    this.known.set(key, measured);
    return measured;
  }

  /** A joint step of sub-arrays in turn; what is no member's takes no time. */
  async joint(arrays: readonly SubArray[]): Promise<MeasuredJoint> {
    const { runtime } = this.scene;
    const graph = together(
      runtime,
      arrays.map(({ member }) => member),
    );
    const nodeMs: number[] = [];
    for (const array of arrays) nodeMs.push(...(await this.nodeMs(array)));
    while (nodeMs.length < graph.nodes.length) nodeMs.push(0);
    const members = arrays.map(({ member }) => member.name);
    return { graph, nodeMs, members, arrays, ...(await pairOf(this.scene, { graph, nodeMs, members })) };
  }
}

/**
 * The fastest way to multiplex some models within a budget, of all partitions into sub-arrays that are simulated (mutwo.md
 * 12); undefined where there is none. The rows say what each partition comes to.
 */
export async function multiplexedStep(
  scene: Scene,
  alone: readonly Alone[],
  budgetBytes: number | null,
): Promise<{ readonly step: MultiplexedStep | undefined; readonly partitions: PartitionRow[] }> {
  const { runtime, options, trials } = scene;
  const settings = withDefaults(options);
  const kinds = fusables(runtime, trials);
  const bench = new Bench(scene, new Map(trials.map(({ spec }, i) => [spec.name, alone[i] as Alone])));
  const cut = (shares: readonly Share[]): SubArray[] => {
    const next = kinds.map(() => 0);
    return shares.map(({ kind, size }, i) => {
      const from = next[kind] as number;
      next[kind] = from + size;
      return subArrayOf(runtime, (kinds[kind]?.trials ?? []).slice(from, from + size), `f${i}`);
    });
  };
  const copies = alone.flatMap(({ profile }) => profile.copies ?? []);
  const knowsCopies = copies.length > 0;
  const swapMs = (bytes: number): number =>
    knowsCopies ? copyMs(byBytes(copies), bytes) : bytes / assumedSwapBytesPerMs;
  const stepMs = alone.reduce((sum, { profile }) => sum + profile.step.medianMs, 0);
  const tried: SubArray[][] = [];
  const choice = await choosePartition({
    counts: kinds.map((kind) => kind.trials.length),
    fused: false,
    most: most.ways,
    swapMs,
    swapMeasured: knowsCopies && !alone.some(({ profile }) => profile.estimated),
    budgetBytes,
    ...plannersOf(settings.planner),
    effort: effortOf(settings),
    async joint(shares): Promise<MeasuredJoint | Refused> {
      const arrays = cut(shares);
      tried.push(arrays);
      settings.onProgress?.("simulate partitions", tried.length - 1, most.ways);
      if (shares.length > most.subArrays)
        return { refused: `not simulated: ${shares.length} sub-arrays, more than ${most.subArrays}` };
      try {
        const joint = await bench.joint(arrays);
        const constraints = constraintsOf(joint.graph, { knowsCopies, stepMs }, settings);
        return { ...joint, ...(constraints && { constraints }) };
      } catch (error) {
        return { refused: (error as Error).message };
      }
    },
  });
  return {
    step: stepOf(choice),
    partitions: choice.outcomes.map((row, i) => rowOf(row, tried[i] ?? [], i === choice.chosen)),
  };
}

const byBytes = <C extends { readonly bytes: number }>(copies: readonly C[]): C[] =>
  [...new Map(copies.map((copy) => [copy.bytes, copy])).values()].sort((a, z) => a.bytes - z.bytes);

/** Planners that take long plan what is chosen; μ-TWO's own plans every partition. */
const plannersOf = (planner: string): { readonly planner: string; readonly refine?: string } =>
  planner === "mutwo" ? { planner } : { planner: "mutwo", refine: planner };

function stepOf({ best, joint }: PartitionChoice<MeasuredJoint>): MultiplexedStep | undefined {
  if (!best || !joint) return undefined;
  const { graph, arrays, plain } = joint;
  const notes = arrays.flatMap((array) => array.notes);
  const lanes = best.ring.stages ? 2 : 1;
  const members = arrays.map(({ member }) => member);
  return {
    joint: { arrangement: "multiplexed", graph, members, subArrays: namesOf(arrays), lanes, notes },
    found: best,
    ...(lanes > 1 && plain && { plain }),
  };
}

/** A partition as a row of a run.json. */
function rowOf(row: SimulatedPartition | RefusedPartition, arrays: readonly SubArray[], chosen: boolean): PartitionRow {
  const sizes = arrays.map(({ trials }) => trials.length);
  if ("refused" in row) return { sizes, refused: row.refused };
  const { subArrays: _, ...simulated } = row;
  return { sizes, ...simulated, ...(chosen ? { chosen } : {}) };
}

/**
 * The plan by which a multiplexed step is executed: its decisions, and the order of its ring. Where nothing is decided it
 * keeps everything; `before` is the profile of the joint graph.
 */
export function ringPlan(
  { joint: { graph }, found }: MultiplexedStep,
  before: Profile,
  budgetBytes: number | null,
): Plan {
  const { ring } = found;
  const nodeMs = before.nodes.map(({ time }) => time.medianMs);
  const plan =
    found.plan ??
    planGraph({
      graph,
      nodeMs,
      rows: before.activations,
      budgetBytes,
      planner: "keepAll",
      steady: steadyOf(graph, ring, 1),
    });
  const { feasible, addedMs, peakBytes, hostBytes } = found;
  return { ...plan, budgetBytes, feasible, addedMs, peakBytes, hostBytes, ring: plannedRing(ring) };
}
