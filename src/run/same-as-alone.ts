import { type Graph, type GraphTrial, tensorOf } from "../graph/graph.js";
import { gradientOf } from "../graph/names.js";
import { lossPlace, readTrial, type TrialPiece, trialPieces } from "../graph/trials.js";
import type { ExecutedGraph } from "../plan/executed.js";
import type { Runtime } from "../runtime/runtime.js";
import type { BuiltTrial } from "./build-trials.js";
import { relativeDifference } from "./compare.js";
import { type Stepping, stepping } from "./steady.js";
import type { SameAsAlone } from "./together.js";

/** So many models are compared at most: of more, some from the first to the last. */
const mostCompared = 16;

/** Steps that are compared. */
const comparedSteps = 2;

/** What a model's own step computes, or the joint one of it: by a name that says what and in which step. */
type Results = Map<string, Uint8Array>;

/** What somebody could ask of a trained model: what a step observes, and what it leaves. */
interface Asked {
  /** Loss and gradients, by their own names. */
  readonly observed: readonly string[];
  /** Parameters, buffers, states of the optimizer. */
  readonly left: readonly string[];
}

function askedOf({ baseline, values }: BuiltTrial): Asked {
  const trained = [...baseline.tensors.values()].filter((t) => t.category === "parameter" && t.within);
  const gradients = trained.flatMap(({ name }) => gradientOf(baseline, name) ?? []);
  const left = [...values().keys()].filter((name) => tensorOf(baseline, name).category !== "input");
  return { observed: [baseline.loss as string, ...gradients], left };
}

/** Runs steps of a graph, and hands each one's results over. */
async function eachStep(
  executed: ExecutedGraph,
  runtime: Runtime,
  values: ReadonlyMap<string, Uint8Array>,
  observe: ReadonlySet<string>,
  take: (step: number, observed: ReadonlyMap<string, Uint8Array>, loaded: Stepping) => void,
  joint = executed.graph,
): Promise<void> {
  const step = await stepping(executed, runtime, values, joint);
  try {
    for (let i = 1; i <= comparedSteps; i++)
      take(i, (await step.run({ observe, last: i === comparedSteps })).observed, step);
  } finally {
    step.close();
  }
}

/** Some of many, evenly spread from the first to the last. */
const spread = <T>(all: readonly T[], most: number): readonly T[] =>
  all.length <= most
    ? all
    : Array.from({ length: most }, (_, i) => all[Math.round((i * (all.length - 1)) / (most - 1))] as T);

/**
 * Compares what models compute in a joint step with what each computes alone, from the same values, under kernels that give
 * the same bits each time: losses, gradients, and all that the steps leave. Each model's own step is loaded after the other.
 * `executed` is what is run of the joint step: as it is, or as it was planned.
 */
export async function sameAsAlone(
  joint: Graph,
  executed: ExecutedGraph,
  values: ReadonlyMap<string, Uint8Array>,
  trials: readonly BuiltTrial[],
  given: Runtime,
  onProgress: (done: number, total: number) => void = () => {},
): Promise<SameAsAlone> {
  const exact = given.deterministic?.();
  const runtime = exact ?? given;
  try {
    const known = new Map((joint.trials ?? []).map((trial) => [trial.name, trial]));
    const compared = spread(trials, mostCompared).map((built) => {
      const asked = askedOf(built);
      return { built, asked, places: placesOf(joint, known.get(built.spec.name) as GraphTrial, built, asked) };
    });
    const actual: Results = new Map();
    const observe = new Set(
      compared.flatMap(({ places }) => places.observed.flatMap(({ pieces }) => pieces)).map(({ tensor }) => tensor),
    );
    const judgeJoint = (step: number, observed: ReadonlyMap<string, Uint8Array>, loaded: Stepping): void => {
      // what several models have a part of is read once
      const known = new Map<string, Uint8Array>();
      const read = (tensor: string): Uint8Array => {
        const bytes = known.get(tensor) ?? loaded.read(tensor);
        known.set(tensor, bytes);
        return bytes;
      };
      for (const { places } of compared) {
        for (const { name, pieces } of places.observed)
          actual.set(
            `${name} in step ${step}`,
            readTrial(pieces, (tensor) => observed.get(tensor) ?? read(tensor)),
          );
        for (const { name, pieces } of places.left) actual.set(`${name} after step ${step}`, readTrial(pieces, read));
      }
    };
    await eachStep(executed, runtime, values, observe, judgeJoint, joint);
    let count = 0;
    let worst = { name: null as string | null, error: 0 };
    for (const [i, { built, asked }] of compared.entries()) {
      onProgress(i, compared.length);
      const { baseline, spec } = built;
      const judge = (own: string, what: string, expected: Uint8Array | undefined): void => {
        const name = `${spec.name}/${own} ${what}`;
        const found = actual.get(name);
        const { dtype } = tensorOf(baseline, own);
        const error = found && expected ? relativeDifference(dtype, found, expected) : Number.POSITIVE_INFINITY;
        count++;
        if (!(error <= worst.error)) worst = { name, error };
      };
      await eachStep(
        { graph: baseline },
        runtime,
        built.values(),
        new Set(asked.observed),
        (step, observed, loaded) => {
          for (const own of asked.observed) judge(own, `in step ${step}`, observed.get(own));
          for (const own of asked.left) judge(own, `after step ${step}`, loaded.read(own));
        },
      );
    }
    return {
      models: compared.map(({ built }) => built.spec.name),
      compared: count,
      bitwise: worst.error === 0,
      worstRelativeError: Number.isFinite(worst.error) ? worst.error : null,
      worst: worst.name,
    };
  } finally {
    exact?.close();
  }
}

interface Place {
  /** With the model's name before it. */
  readonly name: string;
  readonly pieces: readonly TrialPiece[];
}

/** Where the joint step has what is asked of a model. */
function placesOf(
  joint: Graph,
  trial: GraphTrial,
  { baseline, spec }: BuiltTrial,
  { observed, left }: Asked,
): { readonly observed: readonly Place[]; readonly left: readonly Place[] } {
  const place = (own: string): Place => ({
    name: `${spec.name}/${own}`,
    pieces:
      own === baseline.loss ? [{ ...lossPlace(joint, trial), ownOffset: 0 }] : trialPieces(joint, trial, baseline, own),
  });
  return { observed: observed.map(place), left: left.map(place) };
}
