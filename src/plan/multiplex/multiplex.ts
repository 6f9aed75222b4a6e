import { type Graph, type Node, tensorBytes } from "../../graph/graph.js";
import { knownName } from "../../graph/names.js";
import { activationRows } from "../../memory/activation-rows.js";
import { layout } from "../../memory/layout.js";
import { opOf } from "../../ops/index.js";
import type { Constraints, Effort, Plan, PlanProblem } from "../plan.js";
import { planGraph } from "../planners/index.js";
import { rewrite } from "../rewrite.js";
import { stepTime } from "../step-time.js";
import { byTime } from "./partitions.js";
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
  readonly effort?: Partial<Effort>;
  readonly constraints?: Constraints;
  /** Stages of each half in which two members run side by side; default 0: nodes run one after the other. */
  readonly stages?: number;
  /**
   * Share of the shorter of two lanes' time that is hidden behind the other's where they run side by side, measured on a
   * device; default 0.
   */
  readonly overlap?: number;
  /** How late forward phases may begin, as in `ringOf`. */
  readonly lags?: readonly number[];
}

/** How the members of a joint graph are executed, and what that comes to. */
export interface Multiplexed {
  /** In their order in the ring. */
  readonly members: readonly string[];
  readonly ring: Ring;
  readonly lag: number;
  /** null where everything is kept. */
  readonly plan: Plan | null;
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

/** Time of a graph whose lanes run side by side, ms: what is hidden of the shorter lane of each stage is taken off. */
function hiddenMs({ nodes }: Graph, msOf: (node: Node) => number, overlap: number): number {
  if (!overlap) return 0;
  const stages = new Map<number, Map<number, number>>();
  for (const node of nodes) {
    const { lane = 0, stage = 0 } = node;
    const lanes = stages.get(stage) ?? new Map<number, number>();
    lanes.set(lane, (lanes.get(lane) ?? 0) + msOf(node));
    stages.set(stage, lanes);
  }
  let hidden = 0;
  for (const lanes of stages.values()) {
    const all = [...lanes.values()];
    hidden += overlap * (all.reduce((sum, ms) => sum + ms, 0) - Math.max(...all));
  }
  return hidden;
}

/** One way to execute the members, planned into the budget if it does not fit. */
class Way {
  readonly ring: Ring;
  readonly unplanned: { readonly rotation: Rotation | undefined; readonly graph: Graph; readonly bytes: number };
  private readonly ms: ReadonlyMap<string, number>;

  constructor(
    private readonly problem: MultiplexProblem,
    readonly members: readonly string[],
    readonly lag: number,
  ) {
    const { graph, nodeMs, stages = 0 } = problem;
    this.ring = ringOf(graph, nodeMs, members, { lag, stages });
    this.ms = new Map(graph.nodes.map(({ name }, rank) => [name, nodeMs[rank] as number]));
    const executed = this.executed(graph);
    this.unplanned = { ...executed, bytes: layout(executed.graph).arenaBytes };
  }

  get fits(): boolean {
    const { budgetBytes } = this.problem;
    return budgetBytes === null || this.unplanned.bytes <= budgetBytes;
  }

  private executed(planned: Graph): { readonly rotation: Rotation | undefined; readonly graph: Graph } {
    const rotation = this.members.length > 1 ? rotate(planned, this.ring) : undefined;
    return { rotation, graph: rotation?.graph ?? planned };
  }

  /** Time of an executed graph, ms. */
  private time(graph: Graph): number {
    const { swapMs, overlap = 0 } = this.problem;
    const msOf = (node: Node): number => {
      const { swap } = opOf(node);
      if (swap) return swap === "out" || swap === "in" ? this.copyMs(graph, node, swapMs) : 0;
      return this.ms.get(knownName(node.name, this.ms)) ?? 0;
    };
    const alone = (node: Node): number => (opOf(node).swap ? 0 : msOf(node));
    return stepTime(graph, msOf).totalMs - hiddenMs(graph, alone, overlap);
  }

  private copyMs(graph: Graph, node: Node, swapMs: (bytes: number) => number): number {
    const tensor = graph.tensors.get(node.outputs[0] as string);
    return tensor ? swapMs(tensorBytes(tensor)) : 0;
  }

  /** As it is, without a plan. */
  plain(): Multiplexed {
    const { rotation, graph, bytes } = this.unplanned;
    const { members, ring, lag } = this;
    const rest = { plan: null, feasible: this.fits, stepMs: this.time(graph), addedMs: 0, hostBytes: 0 };
    return { members, ring, lag, ...rest, peakBytes: bytes, unplannedBytes: bytes, rotation, graph };
  }

  planned(planner: string): Multiplexed {
    const { graph, nodeMs, swapMs, swapMeasured, budgetBytes, effort, constraints } = this.problem;
    const share = this.swapShare();
    const rows = activationRows(graph, nodeMs, { swapMs: (bytes) => share * swapMs(bytes), swapMeasured });
    const problem: PlanProblem = {
      graph,
      nodeMs,
      rows,
      budgetBytes,
      ...(effort && { effort }),
      ...(constraints && { constraints }),
      ...(this.members.length > 1 && { steady: steadyOf(graph, this.ring, share) }),
    };
    const plan = planGraph({ ...problem, planner });
    const executed = this.executed(rewrite(graph, plan.decisions));
    const stepMs = this.time(executed.graph);
    const { members, ring, lag } = this;
    const { arenaBytes, hostBytes } = layout(executed.graph);
    const addedMs = stepMs - this.time(this.unplanned.graph);
    const { feasible } = plan;
    const unplannedBytes = this.unplanned.bytes;
    return {
      members,
      ring,
      lag,
      plan,
      feasible,
      stepMs,
      addedMs,
      peakBytes: arenaBytes,
      hostBytes,
      unplannedBytes,
      ...executed,
    };
  }

  /** Share of the time beside which a member's copies run that its own backward phase takes. */
  private swapShare(): number {
    if (this.members.length < 2) return 1;
    const { sections } = sectionsOf(this.problem.graph.nodes, this.ring);
    const total = (nodes: readonly Node[]): number =>
      nodes.reduce((sum, { name }) => sum + (this.ms.get(name) ?? 0), 0);
    const rest = sections.reduce((sum, section) => sum + total(section.rest), 0);
    const forward = sections.reduce((sum, section) => sum + total(section.forward), 0);
    return 1 - ((1 - this.lag) * forward) / (rest + forward);
  }
}

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
  const { planner = "mutwo", lags = usualLags } = problem;
  const members = problem.members.length > 1 ? inOrder(problem) : problem.members;
  const ways = (members.length > 1 ? lags : [1]).map((lag) => new Way(problem, members, lag));
  const plain = ways.map((way) => way.plain());
  if (plain.some(({ feasible }) => feasible)) return plain.reduce(better);
  return ways.map((way) => way.planned(planner)).reduce(better);
}
