import { type Graph, type Node, tensorBytes } from "../../graph/graph.js";
import { knownName } from "../../graph/names.js";
import { type ActivationRow, activationRows } from "../../memory/activation-rows.js";
import { layout } from "../../memory/layout.js";
import { opOf } from "../../ops/index.js";
import { laneTime } from "../lane-time.js";
import type { Constraints, Decision, Effort, Plan, Variant } from "../plan.js";
import { planGraph } from "../planners/index.js";
import { rewrite } from "../rewrite.js";
import { stepTime } from "../step-time.js";
import { byTime } from "./partitions.js";
import { type PrintedRing, printedRing } from "./printed.js";
import { memberOf, type Ring, ringOf, sectionsOf } from "./ring.js";
import { type Rotation, rotate } from "./rotate.js";
import { steadyOf } from "./steady.js";

/** A measured joint graph that is to be multiplexed. */
export interface MultiplexProblem {
  /** All members, one whole step after the other. */
  readonly graph: Graph;
  /** Time of each of its nodes, ms. */
  readonly nodeMs: readonly number[];
  /** Names that the members' nodes begin with, before a slash. */
  readonly members: readonly string[];
  /** ms of one copy of so many bytes between host and device, and whether that was measured. */
  readonly swapMs: (bytes: number) => number;
  readonly swapMeasured: boolean;
  /** null: whatever it takes. */
  readonly budgetBytes: number | null;
  /** Default `mutwo`. */
  readonly planner?: string;
  /** Of planner `mutwo`; default mended. Printed: the paper's own algorithms, which say where forward nodes stand too. */
  readonly variant?: Variant;
  readonly effort?: Partial<Effort>;
  readonly constraints?: Constraints;
  /** Stages of each half in which two members run side by side; default 0: nodes run one after the other. */
  readonly stages?: number;
  /** How many nodes' work the device gets done at a time where lanes run side by side (`capacityOf`); default 1. */
  readonly capacity?: number;
  /** How late forward phases may begin, as in `ringOf`. */
  readonly lags?: readonly number[];
  /** Beside stages also without any, which takes less memory: a plan adds less. */
  readonly serial?: boolean;
}

/** How the members of a joint graph are executed, and what that comes to. */
export interface Multiplexed {
  /** In their order in the ring. */
  readonly members: readonly string[];
  readonly ring: Ring;
  readonly lag: number;
  /** What becomes of activations; none where everything is kept. */
  readonly decisions: readonly Pick<Decision, "activation" | "action" | "swap" | "held">[];
  /** null where everything is kept, and for what the printed algorithms decide. */
  readonly plan: Plan | null;
  /** What the printed algorithms say of their own plan. */
  readonly printed?: Pick<PrintedRing, "peakBytes" | "feasible" | "cases">;
  readonly feasible: boolean;
  /** Predicted time of one step of all members, ms, and what of it the plan adds. */
  readonly stepMs: number;
  readonly addedMs: number;
  /** The arena by static layout, and the host's. */
  readonly peakBytes: number;
  readonly hostBytes: number;
  /** The arena without a plan. */
  readonly unplannedBytes: number;
  /** The same steps, carried out: undefined where there is one member, which is no ring. */
  readonly rotation: Rotation | undefined;
  /** The graph that is run over and over. */
  readonly graph: Graph;
}

/** Forward phases that begin with the backward phase beside them, half-way and after it. */
const usualLags = [0, 0.5, 1];

/** A plan of another way is made where that way is so much faster without one, as a share of the time. */
const leastGain = 0.02;

/** Further ways are planned until then, ms, where the effort says nothing. */
const usualLimitMs = 10_000;

/** One way to execute the members, planned into the budget if it does not fit. */
class Way {
  readonly unplanned: Executed;
  private readonly ms: ReadonlyMap<string, number>;

  constructor(
    private readonly problem: MultiplexProblem,
    private readonly ring: Ring,
    private readonly lag: number,
  ) {
    const { graph, nodeMs } = problem;
    this.ms = new Map(graph.nodes.map(({ name }, rank) => [name, nodeMs[rank] as number]));
    this.unplanned = this.executed(graph);
  }

  private executed(planned: Graph): Executed {
    const rotation = this.ring.members.length > 1 ? rotate(planned, this.ring) : undefined;
    return { rotation, graph: rotation?.graph ?? planned };
  }

  /** Time of an executed graph, ms. */
  private time(graph: Graph): number {
    const { swapMs, capacity = 1 } = this.problem;
    const msOf = (node: Node): number => {
      const { swap } = opOf(node);
      if (!swap) return this.ms.get(knownName(node.name, this.ms)) ?? 0;
      const copied = graph.tensors.get(node.outputs[0] as string);
      return copied && (swap === "out" || swap === "in") ? swapMs(tensorBytes(copied)) : 0;
    };
    return (capacity > 1 ? laneTime(graph, msOf, capacity) : stepTime(graph, msOf)).totalMs;
  }

  /** What an executed graph comes to. */
  private simulated(
    { rotation, graph }: Executed,
    plan: Plan | null,
    decisions: Multiplexed["decisions"] = plan?.decisions ?? [],
  ): Multiplexed {
    const { ring, lag, unplanned } = this;
    const { budgetBytes, constraints = {} } = this.problem;
    const { arenaBytes: peakBytes, hostBytes } = layout(graph);
    const stepMs = this.time(graph);
    const addedMs = graph === unplanned.graph ? 0 : stepMs - this.time(unplanned.graph);
    const { hostBytes: mostHost = Number.POSITIVE_INFINITY, maxAddedMs = Number.POSITIVE_INFINITY } = constraints;
    const feasible =
      (budgetBytes === null || peakBytes <= budgetBytes) && hostBytes <= mostHost && addedMs <= maxAddedMs;
    const unplannedBytes = layout(unplanned.graph).arenaBytes;
    const sizes = { feasible, stepMs, addedMs, peakBytes, hostBytes, unplannedBytes };
    return { members: ring.members, ring, lag, decisions, plan, ...sizes, rotation, graph };
  }

  /** As it is, without a plan. */
  plain(): Multiplexed {
    return this.simulated(this.unplanned, null);
  }

  planned(planner: string): Multiplexed {
    const { graph, nodeMs, budgetBytes, effort, constraints, capacity } = this.problem;
    const share = this.swapShare();
    const plan = planGraph({
      graph,
      nodeMs,
      rows: rowsOf(this.problem, share),
      budgetBytes,
      planner,
      ...(effort && { effort }),
      ...(constraints && { constraints }),
      ...(capacity !== undefined && { capacity }),
      ...(this.ring.members.length > 1 && { steady: steadyOf(graph, this.ring, share) }),
    });
    return this.decided(plan.decisions, plan);
  }

  /** With these decisions carried out. */
  decided(decisions: Multiplexed["decisions"], plan: Plan | null = null): Multiplexed {
    return this.simulated(this.executed(rewrite(this.problem.graph, decisions)), plan, decisions);
  }

  /** Share of the time beside which a member's copies run that its own backward phase takes. */
  private swapShare(): number {
    if (this.ring.members.length < 2) return 1;
    const { sections } = sectionsOf(this.problem.graph.nodes, this.ring);
    const total = (nodes: readonly Node[]): number =>
      nodes.reduce((sum, { name }) => sum + (this.ms.get(name) ?? 0), 0);
    const rest = sections.reduce((sum, section) => sum + total(section.rest), 0);
    const forward = sections.reduce((sum, section) => sum + total(section.forward), 0);
    return rest + forward > 0 ? 1 - ((1 - this.lag) * forward) / (rest + forward) : 1;
  }
}

type Executed = Pick<Multiplexed, "rotation" | "graph">;

/** The activation table of a joint step, whose copies take a share of their time. */
const rowsOf = ({ graph, nodeMs, swapMs, swapMeasured }: MultiplexProblem, share = 1): ActivationRow[] =>
  activationRows(graph, nodeMs, { swapMs: (bytes) => share * swapMs(bytes), swapMeasured });

/** Whether a member's forward phase draws numbers that cannot be drawn a step ahead. */
const drawsFloats = ({ nodes }: Graph, member: string): boolean =>
  nodes.some((node) => memberOf(node) === member && node.phase === "forward" && opOf(node).random === "float");

/** The members by their times, so that those of closest times are neighbours; the first one can run a step ahead. */
function inOrder({ graph, nodeMs, members }: MultiplexProblem): string[] {
  const ms = new Map(members.map((name) => [name, 0]));
  graph.nodes.forEach((node, rank) => {
    const member = memberOf(node);
    ms.set(member, (ms.get(member) ?? 0) + (nodeMs[rank] as number));
  });
  const sorted = byTime(members.map((name) => ({ name, ms: ms.get(name) as number }))).map(({ name }) => name);
  const first = sorted.findIndex((name) => !drawsFloats(graph, name));
  if (first < 0)
    throw new Error("models that all draw random numbers of floats cannot run a step ahead: train them in turn");
  return [...sorted.slice(first), ...sorted.slice(0, first)];
}

/** The faster one that fits, of equals the smaller one; the smaller one where none fits. */
export function better<T extends Pick<Multiplexed, "feasible" | "stepMs" | "peakBytes">>(a: T, z: T): T {
  if (a.feasible !== z.feasible) return a.feasible ? a : z;
  if (a.feasible && Math.abs(a.stepMs - z.stepMs) > 1e-9 * a.stepMs) return a.stepMs < z.stepMs ? a : z;
  return a.peakBytes <= z.peakBytes ? a : z;
}

/**
 * The fastest way to execute the members of a joint graph within a budget, each backward phase beside the forward phase of
 * the next member, by simulation: time of nodes and copies, and the exact arena of what is executed. Throws what
 * `planGraph` does.
 */
export function multiplex(problem: MultiplexProblem): Multiplexed {
  const { graph, nodeMs, planner = "mutwo", variant, lags = usualLags, stages = 0, serial, budgetBytes } = problem;
  const members = problem.members.length > 1 ? inOrder(problem) : problem.members;
  const kinds = (members.length > 1 ? lags : [1]).map((lag) => ({ lag, stages }));
  if (serial && stages && members.length > 1) kinds.push({ lag: 1, stages: 0 });
  const ways = kinds.map((kind) => new Way(problem, ringOf(graph, nodeMs, members, kind), kind.lag));
  const plain = ways.map((way) => way.plain());
  if (budgetBytes === null) return plain.reduce(better);
  if (planner === "mutwo" && variant === "printed" && members.length > 1 && !plain.some(({ feasible }) => feasible)) {
    const found = printedRing({ graph, nodeMs, rows: rowsOf(problem) }, members, stages, budgetBytes);
    const { peakBytes, feasible, cases } = found;
    const way = new Way(problem, found.ring, 1);
    return { ...way.decided(found.decisions), printed: { peakBytes, feasible, cases } };
  }
  return fastest(ways, plain, planner, problem.effort?.timeLimitMs ?? usualLimitMs);
}

/**
 * The best of some ways: the fastest that fits as it is, or the plan of the smallest one; then plans of those that may be
 * faster, small ones first, as long as time is left.
 */
function fastest(
  ways: readonly Way[],
  plain: readonly Multiplexed[],
  planner: string,
  timeLimitMs: number,
): Multiplexed {
  const until = performance.now() + timeLimitMs;
  const fitting = plain.filter(({ feasible }) => feasible);
  let best = fitting.length ? fitting.reduce(better) : undefined;
  const bySize = ways
    .map((way, i) => ({ way, as: plain[i] as Multiplexed }))
    .sort((a, z) => a.as.peakBytes - z.as.peakBytes);
  for (const { way, as } of bySize) {
    if (as.feasible) continue;
    if (best && performance.now() > until) break;
    if (best?.feasible && as.stepMs >= (1 - leastGain) * best.stepMs) continue;
    const found = way.planned(planner);
    best = best ? better(best, found) : found;
  }
  return best as Multiplexed;
}
