import { type DType, type Graph, isFloat } from "../graph/graph.js";
import { greatest } from "../graph/lists.js";
import { gradientOf } from "../graph/names.js";
import { numbersIn } from "../graph/values.js";
import { layout } from "../memory/layout.js";
import type { ExecutedGraph } from "../plan/executed.js";
import { loadWithValues } from "../runtime/load.js";
import type { Runtime } from "../runtime/runtime.js";
import type { Equality, PairedTimes } from "./run.js";
import { samplesOf } from "./samples.js";
import { steadyValues, stepping } from "./steady.js";

/** Pairs of steps that are timed in turn, after as many that are not as a runtime may need to get ready. */
const timedPairs = 5;

const warmPairs = 2;

/** Steps whose loss, gradients and next state are compared. */
const comparedSteps = 2;

/** ‖a − b‖ / ‖b‖ of float tensors, above 0 where any bit differs; 0 or 1 for others, equal or not. */
export function relativeDifference(dtype: DType, a: Uint8Array, b: Uint8Array): number {
  if (Buffer.compare(a, b) === 0) return 0;
  if (!isFloat(dtype) || a.length !== b.length) return 1;
  const [p, q] = [numbersIn(dtype, a), numbersIn(dtype, b)];
  let [difference, norm] = [0, 0];
  for (let i = 0; i < q.length; i++) {
    const y = q[i] as number;
    difference += ((p[i] as number) - y) ** 2;
    norm += y ** 2;
  }
  // 0 and −0 are other bits
  return Math.max(Math.sqrt(difference / Math.max(norm, Number.MIN_VALUE)), Number.MIN_VALUE);
}

type Observed = ReadonlyMap<string, Uint8Array>;

/** What is run, and from what: every run begins with the same values. */
interface Start {
  readonly runtime: Runtime;
  readonly values: ReadonlyMap<string, Uint8Array>;
  readonly signal?: AbortSignal;
  /** Of the planned graph, where it is multiplexed. */
  readonly rotation?: ExecutedGraph["rotation"] | undefined;
}

/**
 * Runs both graphs from the same values: two steps whose loss, gradients and next state are compared, under kernels that
 * give the same bits each time, so that any bit that differs is the plan's doing; then further steps in turn, timed, with
 * the runtime's own kernels, if both fit into memory at once.
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

/** Loss and gradients of a step. */
function gradientsOf(graph: Graph): string[] {
  const gradients = [...graph.tensors.values()]
    .filter((t) => t.category === "parameter" && t.within)
    .flatMap((t) => gradientOf(graph, t.name) ?? []);
  return [...(graph.loss ? [graph.loss] : []), ...gradients];
}

/** Loss, gradients and next state of a step. */
const resultsOf = (graph: Graph): ReadonlySet<string> =>
  new Set([...gradientsOf(graph), ...graph.state.map((pair) => pair.after)]);

/** What the first steps of a graph compute, step by step. */
async function observedSteps(
  executed: ExecutedGraph,
  observe: ReadonlySet<string>,
  start: Start,
  steps = comparedSteps,
  joint = executed.graph,
): Promise<Observed[]> {
  const step = await stepping(executed, start.runtime, start.values, joint);
  try {
    const observed: Observed[] = [];
    for (let i = 0; i < steps; i++) {
      const results = new Map((await step.run({ observe, signal: start.signal })).observed);
      // of a state that is renewed slice by slice no node makes the next value as a whole
      for (const { before, after } of joint.state)
        if (observe.has(after) && !results.has(after)) results.set(after, step.read(before));
      observed.push(results);
    }
    return observed;
  } finally {
    step.close();
  }
}

/** How far each result is from what was expected, by its name and step; Infinity where it is missing. */
function differences({ tensors }: Graph, expected: readonly Observed[], actual: readonly Observed[]) {
  const found = new Map<string, number>();
  for (const [i, step] of expected.entries())
    for (const [name, bytes] of step) {
      const given = actual[i]?.get(name);
      const dtype = tensors.get(name)?.dtype ?? "float32";
      found.set(`${name} in step ${i + 1}`, given ? relativeDifference(dtype, given, bytes) : Number.POSITIVE_INFINITY);
    }
  return found;
}

/** How often a result that no kernel computes the same each time may differ from itself, times its own difference. */
const unstableLimit = 10;

async function compareResults(baseline: Graph, planned: Graph, start: Start): Promise<Equality> {
  const observe = resultsOf(baseline);
  const expected = async (from: Start, steps?: number): Promise<Observed[]> => {
    const observed = await observedSteps({ graph: baseline }, observe, from, steps);
    for (const step of observed)
      for (const name of observe) if (!step.has(name)) throw new Error(`not observed: ${name}`);
    return observed;
  };
  const exact = start.runtime.deterministic?.();
  try {
    const from = exact ? { ...start, runtime: exact } : start;
    const results = await expected(from);
    const found = differences(
      baseline,
      results,
      await observedSteps({ graph: planned, rotation: start.rotation }, observe, from, comparedSteps, baseline),
    );
    const off = [...found].filter(([, error]) => error !== 0);
    // only what differs may be unstable
    const again = off.length ? differences(baseline, results, await expected(from)) : new Map<string, number>();
    const ownOf = (name: string): number => again.get(name) ?? 0;
    const unstable = [...again].filter(([, error]) => error !== 0).map(([name]) => name);
    const worst = greatest(found.values(), 0);
    return {
      compared: found.size,
      different: off.filter(([name, error]) => !(error <= unstableLimit * ownOf(name))).map(([name]) => name),
      bitwise: !off.length,
      worstRelativeError: finite(worst),
      runToRun: exact ? finite(await runToRun(baseline, start)) : null,
      deterministic: true,
      ...(unstable.length ? { unstable } : {}),
    };
  } finally {
    exact?.close();
  }
}

/** The greatest difference of loss and gradients between two runs of a graph's first step on the runtime as it is. */
async function runToRun(graph: Graph, start: Start): Promise<number> {
  const observe = new Set(gradientsOf(graph));
  const first = await observedSteps({ graph }, observe, start, 1);
  return greatest(differences(graph, first, await observedSteps({ graph }, observe, start, 1)).values(), 0);
}

async function timeInTurn(
  baseline: Graph,
  planned: Graph,
  { runtime, values, signal, rotation }: Start,
): Promise<PairedTimes> {
  const own = rotation ? await steadyValues(rotation, runtime, values) : values;
  const { step: one } = loadWithValues(baseline, runtime, values);
  try {
    const { step: two } = loadWithValues(planned, runtime, own);
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
