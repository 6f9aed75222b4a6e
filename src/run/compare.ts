import { type DType, type Graph, isFloat } from "../graph/graph.js";
import { greatest } from "../graph/lists.js";
import { gradientOf } from "../graph/names.js";
import { numbersIn } from "../graph/values.js";
import { layout } from "../memory/layout.js";
import { loadWithValues } from "../runtime/load.js";
import type { Runtime } from "../runtime/runtime.js";
import type { Equality, PairedTimes } from "./run.js";
import { samplesOf } from "./samples.js";

/** Pairs of steps that are timed in turn, after as many that are not as a runtime may need to get ready. */
const timedPairs = 5;

const warmPairs = 2;

/** Steps whose loss, gradients and next state are compared. */
const comparedSteps = 2;

/** ‖a − b‖ / ‖b‖ of float tensors; 0 or 1 for others, equal or not. */
function relativeDifference(dtype: DType, a: Uint8Array, b: Uint8Array): number {
  if (Buffer.compare(a, b) === 0) return 0;
  if (!isFloat(dtype)) return 1;
  const [p, q] = [numbersIn(dtype, a), numbersIn(dtype, b)];
  let [difference, norm] = [0, 0];
  for (let i = 0; i < q.length; i++) {
    const y = q[i] as number;
    difference += ((p[i] as number) - y) ** 2;
    norm += y ** 2;
  }
  return Math.sqrt(difference / Math.max(norm, Number.MIN_VALUE));
}

type Observed = ReadonlyMap<string, Uint8Array>;

/** What is run, and from what: every run begins with the same values. */
interface Start {
  readonly runtime: Runtime;
  readonly values: ReadonlyMap<string, Uint8Array>;
  readonly signal?: AbortSignal;
}

/**
 * Runs both graphs from the same values: two steps whose loss, gradients and next state are compared, then further steps
 * in turn, timed, if both fit into memory at once. Where kernels are not deterministic, the unplanned step runs twice,
 * and a difference counts if it is more than ten times what that makes.
 */
export async function compare(
  baseline: Graph,
  planned: Graph,
  start: Start,
): Promise<{ equality: Equality; paired: PairedTimes | null }> {
  const equality = await compareResults(baseline, planned, start);
  const both = layout(baseline).arenaBytes + layout(planned).arenaBytes;
  const free = start.runtime.freeBytes?.() ?? Number.POSITIVE_INFINITY;
  return { equality, paired: both <= 0.95 * free ? await timeInTurn(baseline, planned, start) : null };
}

/** What JSON can hold of a number. */
const finite = (value: number): number | null => (Number.isFinite(value) ? value : null);

/** Loss, gradients and next state of a step. */
function resultsOf(graph: Graph): ReadonlySet<string> {
  const gradients = [...graph.tensors.values()]
    .filter((t) => t.category === "parameter" && t.within)
    .flatMap((t) => gradientOf(graph, t.name) ?? []);
  return new Set([...(graph.loss ? [graph.loss] : []), ...gradients, ...graph.state.map((pair) => pair.after)]);
}

/** What the first steps of a graph compute, step by step. */
async function observedSteps(graph: Graph, observe: ReadonlySet<string>, start: Start): Promise<Observed[]> {
  const { step } = loadWithValues(graph, start.runtime, start.values);
  try {
    const steps: Observed[] = [];
    for (let i = 0; i < comparedSteps; i++) steps.push((await step.run({ observe, signal: start.signal })).observed);
    return steps;
  } finally {
    step.close();
  }
}

async function compareResults(baseline: Graph, planned: Graph, start: Start): Promise<Equality> {
  const observe = resultsOf(baseline);
  const expected = await observedSteps(baseline, observe, start);
  const differences = (actual: readonly Observed[]): Map<string, number> => {
    const found = new Map<string, number>();
    for (const [i, step] of expected.entries())
      for (const name of observe) {
        const [p, q] = [step.get(name), actual[i]?.get(name)];
        if (!p) throw new Error(`not observed: ${name}`);
        const dtype = baseline.tensors.get(name)?.dtype ?? "float32";
        found.set(`${name} in step ${i + 1}`, q ? relativeDifference(dtype, q, p) : 1);
      }
    return found;
  };
  const varies = start.runtime.device.settings?.deterministic === "no";
  const runToRun = varies ? greatest(differences(await observedSteps(baseline, observe, start)).values(), 0) : null;
  const found = differences(await observedSteps(planned, observe, start));
  const different = [...found].filter(([, error]) => !(error <= 10 * (runToRun ?? 0))).map(([name]) => name);
  return {
    compared: comparedSteps * observe.size,
    different,
    bitwise: greatest(found.values(), 0) === 0,
    worstRelativeError: finite(greatest(found.values(), 0)),
    runToRun: runToRun === null ? null : finite(runToRun),
  };
}

async function timeInTurn(baseline: Graph, planned: Graph, { runtime, values, signal }: Start): Promise<PairedTimes> {
  const { step: one } = loadWithValues(baseline, runtime, values);
  try {
    const { step: two } = loadWithValues(planned, runtime, values);
    try {
      const times: [number[], number[]] = [[], []];
      for (let i = 0; i < warmPairs + timedPairs; i++) {
        const pair = [(await one.run({ signal })).stepMs, (await two.run({ signal })).stepMs] as const;
        if (i >= warmPairs) for (const which of [0, 1] as const) times[which].push(pair[which]);
      }
      return { unplanned: samplesOf(times[0]), planned: samplesOf(times[1]) };
    } finally {
      two.close();
    }
  } finally {
    one.close();
  }
}
