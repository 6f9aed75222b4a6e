import { formatBytesBeside } from "../format.js";
import type { Graph, Tensor } from "../graph/graph.js";
import { sha256Of } from "../model/read.js";
import type { Plan } from "../plan/plan.js";
import { rewrite } from "../plan/rewrite.js";
import { loadGraph, type Run } from "../run/run.js";

/** Where two steps differ first, in words; undefined where they are one. Values of constants are not compared. */
export function differenceOf(a: Graph, b: Graph): string | undefined {
  const words = ({ nodes }: Graph): string[] =>
    nodes.map((n) =>
      [n.name, n.domain, n.op, n.phase, ...n.inputs, "", ...n.outputs, JSON.stringify(n.attributes)].join(),
    );
  const [one, other] = [words(a), words(b)];
  const rank = one.findIndex((text, i) => text !== other[i]);
  if (rank >= 0) return `node ${a.nodes[rank]?.name}`;
  if (one.length !== other.length) return `node ${b.nodes[one.length]?.name}`;
  const type = ({ dtype, shape, category, within }: Tensor): string =>
    [dtype, shape, category, within?.tensor, within?.offsetBytes].join();
  for (const tensor of a.tensors.values()) {
    const found = b.tensors.get(tensor.name);
    if (!found || type(found) !== type(tensor)) return `tensor ${tensor.name}`;
  }
  return undefined;
}

/** The steps that a trainer can make of its options: its own, and those of the run's optimizer. */
export interface StepForms {
  readonly own: Graph;
  /** With the optimizer that the run has, learning rates as constants or as tensors. */
  readonly asRun: (rates: "constants" | "tensors") => Graph;
}

/**
 * A trainer's step with a saved run's plan. Throws one line where the model has changed since, where the run's step is
 * another one (learning rates may differ), and where its plan does not fit its budget.
 */
export function plannedAs(run: Run, file: string, { own, asRun }: StepForms): Graph {
  const { plan, model, graph } = run;
  if (sha256Of(file) !== model.sha256)
    throw new Error(`the model has changed since the run ${run.id}: ${file} (profile it again, or leave run out)`);
  const saved = loadGraph(graph);
  const [constants, tensors] = [
    () => differenceOf(saved, asRun("constants")),
    () => differenceOf(saved, asRun("tensors")),
  ];
  const hasRates = graph.tensors.some(({ rate }) => rate !== undefined);
  const difference = (hasRates ? tensors() : constants()) ?? differenceOf(own, asRun("tensors"));
  if (difference !== undefined)
    throw new Error(
      `the run ${run.id} is of another step: its ${difference} is not the same (give the options and the backend of \`${run.command.slice(0, 120)}\`)`,
    );
  if (plan === null) return own;
  checkFeasible(plan);
  return rewrite(own, plan.decisions, plan.states);
}

/** Throws `infeasible budget: …` for a plan that does not fit its budget. */
export function checkFeasible({ feasible, budgetBytes, minimumPeakBytes }: Plan): void {
  if (!feasible)
    throw new Error(
      `infeasible budget: ${formatBytesBeside(budgetBytes ?? 0, minimumPeakBytes)}; the least reachable peak is ${formatBytesBeside(minimumPeakBytes, budgetBytes ?? 0)}`,
    );
}
