import { is16Bit } from "../../graph/graph.js";
import { type Cudnn, stridesOf, unlessRefused, widened, widenedShape } from "./cudnn.js";
import type { Convolution, ConvolutionSpec, PlanRecipe, Trial } from "./cudnn-convolutions.js";
import {
  type ExecutionPlan,
  type HeuristicsMode,
  heuristics,
  numericalNotes,
  OperationGraph,
  type Proposal,
  planFrom,
} from "./cudnn-graph.js";

/**
 * How many plans are tried that fit, and how many proposals are looked at for it. For 238 of 246 convolutions (those of
 * ResNet-50, dilated and depthwise ones; TF32, float16, bfloat16; an H100) the best of three was within 5 % of the best of
 * up to 18 plans and of the legacy interface, for all within 24 %.
 */
const enough = 3;

/** The same where several run side by side: what cuDNN proposes first is the fastest alone; in groups it is so there too. */
const enoughBeside = 8;

const mostTries = 16;

/** A convolution described to cuDNN's graph interface. Throws `cuDNN: …` where it refuses. */
function graphOf(cudnn: Cudnn, spec: ConvolutionSpec): OperationGraph {
  const tensor = (shape: readonly number[]) => {
    const dims = widenedShape(shape);
    return { dims, strides: stridesOf(dims, spec.channelsLast) };
  };
  const pads = widened(spec.pads, 0);
  return new OperationGraph(cudnn, {
    kind: spec.kind,
    dataType: cudnn.typeOf(spec.dtype),
    computeType: cudnn.typeOf("float32"),
    x: tensor(spec.x),
    w: tensor(spec.w),
    y: tensor(spec.y),
    padsBefore: pads,
    padsAfter: pads,
    strides: widened(spec.strides, 1),
    dilations: widened(spec.dilations, 1),
    alignment: spec.alignment,
  });
}

/** Whether results of an engine with these notes are what was asked for. */
export function isAllowed(
  notes: readonly number[],
  { dtype, tf32, deterministic }: Pick<ConvolutionSpec, "dtype" | "tf32" | "deterministic">,
): boolean {
  const has = (note: keyof typeof numericalNotes): boolean => notes.includes(numericalNotes[note]);
  if (has("downConvertsInputs") || has("reducedPrecisionReduction")) return false;
  if (deterministic && has("nondeterministic")) return false;
  return is16Bit(dtype) || tf32 || !has("tensorCore");
}

/** A plan as one way to compute the convolution. */
function convolutionBy(plan: ExecutionPlan, { kind }: ConvolutionSpec, recipe: PlanRecipe, ms: number): Convolution {
  return {
    workspaceBytes: plan.workspaceBytes,
    ms,
    recipe,
    run(a, b, out, workspace) {
      // cuDNN's order of operands, undone
      if (kind === "forward") plan.run(a, b, out, workspace);
      else if (kind === "input") plan.run(out, a, b, workspace);
      else plan.run(a, out, b, workspace);
    },
    destroy: () => plan.destroy(),
  };
}

/**
 * Tries plans of cuDNN's graph interface for a convolution and returns those that run in the trial's workspace, in no
 * order; none where cuDNN has none, for float64 say. At least one of them takes `modestBytes` at most if there is such a
 * one among those that are looked at.
 */
export function plansOf(
  cudnn: Cudnn,
  spec: ConvolutionSpec,
  trial: Trial,
  modestBytes: number,
): readonly Convolution[] {
  if (spec.dtype === "float64") return []; // its factors are doubles, and few engines know it
  const found: Convolution[] = [];
  const hasModest = (): boolean => found.some(({ workspaceBytes }) => workspaceBytes <= modestBytes);
  const wanted = spec.beside && spec.groups === 1 ? enoughBeside : enough;
  const isEnough = (): boolean => found.length >= wanted && hasModest();
  const tryAll = (graph: OperationGraph, heuristic: HeuristicsMode): void => {
    for (const proposal of graph.proposals(heuristic)) {
      if (isEnough() || proposal.rank >= mostTries) return;
      const made = tried(graph, proposal, heuristic, spec, trial, found);
      if (made) found.push(made);
    }
  };
  const graph = unlessRefused(() => graphOf(cudnn, spec));
  try {
    for (const heuristic of graph ? heuristics : [])
      if (!hasModest()) unlessRefused(() => tryAll(graph as OperationGraph, heuristic));
    return found;
  } catch (error) {
    for (const one of found) one.destroy();
    throw error;
  } finally {
    graph?.destroy();
  }
}

/** Whether cuDNN's graph interface has a plan for a convolution that may be taken; no kernel is compiled or run for that. */
export function hasPlan(cudnn: Cudnn, spec: ConvolutionSpec): boolean {
  if (spec.dtype === "float64") return false;
  const graph = unlessRefused(() => graphOf(cudnn, spec));
  if (!graph) return false;
  const isProposed = (heuristic: HeuristicsMode): boolean => {
    for (const proposal of graph.proposals(heuristic)) {
      if (!isWorthIt(proposal, heuristic) || !isAllowed(proposal.notes, spec)) continue;
      if (proposal.compiles) return true;
      const plan = unlessRefused(() => graph.plan(proposal));
      plan?.destroy();
      if (plan) return true;
    }
    return false;
  };
  try {
    return heuristics.some((heuristic) => unlessRefused(() => isProposed(heuristic)) ?? false);
  } finally {
    graph.destroy();
  }
}

/** Compiling takes longer than it gains, but for what cuDNN itself takes for the best. */
const isWorthIt = ({ compiles, rank }: Proposal, heuristic: HeuristicsMode): boolean =>
  !compiles || (rank === 0 && heuristic === "A");

/** A proposal, timed; undefined if it may not, or cannot, run in the workspace. */
function tried(
  graph: OperationGraph,
  proposal: Proposal,
  heuristic: HeuristicsMode,
  spec: ConvolutionSpec,
  { bytes, time }: Trial,
  before: readonly Convolution[],
): Convolution | undefined {
  if (!isWorthIt(proposal, heuristic) || !isAllowed(proposal.notes, spec)) return undefined;
  const plan = unlessRefused(() => graph.plan(proposal));
  if (!plan) return undefined;
  const { rank, engine } = proposal;
  const recipe: PlanRecipe = { by: "plan", heuristic, rank, engine };
  const made = convolutionBy(plan, spec, recipe, 0);
  const best = Math.min(...before.map(({ ms }) => ms));
  try {
    const fits = plan.workspaceBytes <= bytes;
    const ms = fits ? unlessRefused(() => time(made, best)) : undefined;
    const text = proposal.compiles ? unlessRefused(() => plan.text()) : undefined;
    if (ms !== undefined) return { ...made, ms, recipe: { ...recipe, text } };
  } catch (error) {
    plan.destroy();
    throw error;
  }
  plan.destroy();
  return undefined;
}

/** A plan by its recipe; undefined where cuDNN proposes another one now. */
export function planBy(cudnn: Cudnn, spec: ConvolutionSpec, recipe: PlanRecipe, ms: number): Convolution | undefined {
  const { text } = recipe;
  const ready = text === undefined ? undefined : unlessRefused(() => planFrom(cudnn, text));
  if (ready) return convolutionBy(ready, spec, recipe, ms);
  return unlessRefused(() => {
    const graph = graphOf(cudnn, spec);
    try {
      for (const proposal of graph.proposals(recipe.heuristic))
        if (proposal.rank === recipe.rank)
          return proposal.engine === recipe.engine ? convolutionBy(graph.plan(proposal), spec, recipe, ms) : undefined;
      return undefined;
    } finally {
      graph.destroy();
    }
  });
}
