import type { Graph } from "../graph/graph.js";
import { matchingNames } from "../graph/pattern.js";
import { savedActivations } from "../memory/activations.js";
import { budgetBytesOf, parseHostMemory, parseSlowdown } from "../plan/budget.js";
import { ringOfPlan } from "../plan/executed.js";
import { capacityOf } from "../plan/lane-time.js";
import { steadyOf } from "../plan/multiplex/steady.js";
import type { Constraints, Effort, Plan, PlannedRing, PlanProblem } from "../plan/plan.js";
import { planGraph } from "../plan/planners/index.js";
import { inShort } from "./beside.js";
import { unfitWarnings, uselessPlan, withoutPlanned } from "./notes.js";
import { checkOptions } from "./option-checks.js";
import { withDefaults } from "./option-forms.js";
import type { OptionsOf } from "./options.js";
import type { Profile } from "./profile.js";
import { loadGraph, newRunId, type Run } from "./run.js";
import { tradeoffOf } from "./tradeoff.js";

/** What `planRun` takes: the options of `mutwo plan`. */
export interface PlanOptions extends OptionsOf<"plan"> {
  /** How the plan is made again, for the report. */
  readonly command?: string;
}

/** The options that say what is planned for, and how. */
export type PlanSettings = Pick<
  OptionsOf<"plan">,
  "budget" | "maxSlowdown" | "keep" | "swap" | "recompute" | "hostMemory" | "timeLimit" | "moves" | "variant"
> & { readonly planner: string };

/** What planning needs of a profile. */
export type Measured = Pick<Profile, "nodes" | "activations" | "arenaBytes" | "estimated"> & {
  readonly step: Pick<Profile["step"], "medianMs">;
};

/** Whether options ask for a plan: a default planner alone does not. */
export const asksForPlan = ({ budget, planner, maxSlowdown }: Partial<PlanSettings>): boolean =>
  budget !== undefined || planner !== undefined || maxSlowdown !== undefined;

/** Names of the activations that are to be kept. Throws `pattern matches no activation: …`. */
export const keptNames = (graph: Graph, { keep = [] }: Pick<PlanSettings, "keep">): string[] => [
  ...matchingNames([...savedActivations(graph).keys()], keep, "activation"),
];

/** What constraints go by of a measured step. */
interface Priced {
  /** Whether times of copies are measured or estimated. */
  readonly knowsCopies: boolean;
  readonly stepMs: number;
}

/**
 * The constraints that options set; undefined if they set none. Nothing is swapped where copies are neither measured nor
 * estimated, unless that is asked for: so on the CPU, where device and host are one memory.
 */
export function constraintsOf(graph: Graph, measured: Priced, settings: PlanSettings): Constraints | undefined {
  const { keep, recompute, hostMemory, maxSlowdown, planner } = settings;
  const isAsked = planner === "swapAll" || hostMemory !== undefined;
  const swap = settings.swap ?? (isAsked || measured.knowsCopies);
  const constraints: Constraints = {
    ...(keep?.length ? { keep: keptNames(graph, settings) } : {}),
    ...(swap ? {} : { swap }),
    ...(recompute === false ? { recompute } : {}),
    ...(hostMemory === undefined ? {} : { hostBytes: parseHostMemory(hostMemory) }),
    ...(maxSlowdown === undefined ? {} : { maxAddedMs: parseSlowdown(maxSlowdown) * measured.stepMs }),
  };
  return Object.keys(constraints).length ? constraints : undefined;
}

/** What planners get of a profiled step and the options. Throws for a budget that is not a size, or a pattern without a match. */
export function planProblem(graph: Graph, profile: Measured, settings: PlanSettings): PlanProblem {
  const { budget, variant } = settings;
  const knowsCopies = Boolean(profile.estimated) || profile.activations.some(({ swapMeasured }) => swapMeasured);
  const constraints = constraintsOf(graph, { knowsCopies, stepMs: profile.step.medianMs }, settings);
  const nodeMs = profile.nodes.map((row) => row.time.medianMs);
  const isWide = graph.nodes.some(({ lane }) => lane);
  return {
    graph,
    nodeMs,
    ...(isWide ? { capacity: capacityOf(graph, nodeMs, profile.step.medianMs) } : {}),
    rows: profile.activations,
    budgetBytes: budget === undefined ? null : budgetBytesOf(budget, profile.arenaBytes),
    ...(constraints ? { constraints } : {}),
    ...(variant ? { variant } : {}),
    effort: effortOf(settings),
  };
}

/** How long planners may search. */
export const effortOf = ({ timeLimit, moves }: Pick<PlanSettings, "timeLimit" | "moves">): Partial<Effort> => ({
  ...(timeLimit === undefined ? {} : { timeLimitMs: 1000 * timeLimit }),
  ...(moves === undefined ? {} : { moves }),
});

/**
 * The plan for a profiled step, whose members follow one another as a ring says, if there is one; beside another planner's that plans for a budget, what μ-TWO's own comes to. Throws for
 * an unknown planner, and what `planProblem` throws.
 */
export function makePlan(graph: Graph, profile: Measured, settings: PlanSettings, ring?: PlannedRing): Plan {
  const problem: PlanProblem = {
    ...planProblem(graph, profile, settings),
    ...(ring && { steady: steadyOf(graph, ringOfPlan(graph, ring), 1) }),
  };
  const planned = { ...planGraph({ ...problem, planner: settings.planner }), ...(ring && { ring }) };
  const plan = profile.estimated
    ? { ...planned, decisions: planned.decisions.map((one) => ({ ...one, why: `${one.why} (times estimated)` })) }
    : planned;
  if (problem.budgetBytes === null || (plan.planner === "mutwo" && plan.variant === "mended")) return plan;
  return { ...plan, beside: [inShort(planGraph({ ...problem, planner: "mutwo", variant: "mended" }))] };
}

/**
 * The run with another plan, made from its saved profile alone: no device, and nothing executed, so the new run has no
 * measured `after`. Throws for an unknown planner or a budget that is not a size.
 */
export function planRun(run: Run, options: PlanOptions): Run {
  checkOptions("plan", options);
  const plan = makePlan(loadGraph(run.graph), run.before, withDefaults(options), run.plan?.ring);
  const { processPeak: _, ...rest } = again(run, options);
  return {
    ...rest,
    plan,
    after: null,
    equality: null,
    paired: null,
    warnings: [
      ...withoutPlanned(run),
      ...unfitWarnings(run.before, plan).filter(({ about }) => about === "planned"),
      ...uselessPlan(run.before, plan),
    ],
  };
}

/**
 * The run with the trade-off between peak and step time in it, made from its saved profile alone: no device. The plan
 * that it has stays. Throws for options that only one plan can have: a budget, a limit of time, a planner.
 */
export function sweepRun(run: Run, options: Omit<PlanOptions, "sweep">): Run {
  const asked = { ...options, sweep: true };
  checkOptions("plan", asked);
  const problem = planProblem(loadGraph(run.graph), run.before, withDefaults(asked));
  return { ...again(run, options), tradeoff: tradeoffOf(problem) };
}

/** The run under a name of its own, made now. */
const again = (run: Run, { command }: Pick<PlanOptions, "command">): Run => ({
  ...run,
  id: newRunId(run.model.file),
  createdAt: new Date().toISOString(),
  command: command ?? run.command,
});
