import { NodeError } from "../graph/errors.js";
import { type Graph, tensorBytes } from "../graph/graph.js";
import { gradientOf } from "../graph/names.js";
import { numbersIn, type Value, valuesOf } from "../graph/values.js";
import { readModel } from "../model/read.js";
import { readSafetensors } from "../model/safetensors.js";
import { loadWithValues } from "../runtime/load.js";
import { openRuntime } from "../runtime/open.js";
import type { Runtime } from "../runtime/runtime.js";
import { initialValues } from "../step/initial.js";
import { doubled } from "../step/precision.js";
import { stepFor } from "../step/step.js";
import { lossOutput } from "../step/training.js";
import { checkOptions } from "./option-checks.js";
import { withDefaults } from "./option-forms.js";
import type { OptionsOf } from "./options.js";
import { type Compared, type Curve, greatest, isWithinLimits, type Verification, worstErrors } from "./verification.js";

/** What `verifyModel` takes: the options of `mutwo verify`. */
export type VerifyOptions = OptionsOf<"verify">;

/** The optimizers with which the references' curves were made. */
const curves: Readonly<Record<string, string>> = {
  adam: "adam:lr=1e-3,betas=0.9/0.999,eps=1e-8",
  sgd: "sgd:lr=1e-2,momentum=0.9",
};

/** Euclidean norm of a tensor, or of its difference from another. */
function norm(values: ArrayLike<number>, other?: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += ((values[i] as number) - (other ? (other[i] as number) : 0)) ** 2;
  return Math.sqrt(sum);
}

const relative = (actual: number, expected: number): number =>
  Math.abs(actual - expected) / Math.max(Math.abs(expected), Number.MIN_VALUE);

/**
 * Runs a model's training step on reference inputs and compares loss, gradients, running statistics and the losses of
 * the first steps with reference values.
 *
 * The step runs in the model's own precision. Where a float32 step is off on the CPU, it runs again in float64: some
 * models amplify rounding so much (batch norm over few values, say) that no float32 step follows a float64 reference,
 * PyTorch's own included. The verdict is then float64's, the result says so and holds float32's errors too.
 *
 * Throws if the reference lacks the inputs, the target or the loss, or if a tensor's shape does not fit the model's.
 */
export async function verifyModel(file: string, options: VerifyOptions): Promise<Verification> {
  checkOptions("verify", options);
  const reference = readSafetensors(options.reference);
  const { backend, dims, batchNorm } = withDefaults(options);
  const runtime = openRuntime(backend, options);
  try {
    const { graph } = readModel(file, { dims, runtime, batchNorm, output: lossOutput(options.loss) });
    const trial = { graph, runtime, reference, options };
    const own = await verifyGraph(file, trial);
    const isFloat32 = [...graph.tensors.values()].every(({ dtype }) => !/^(float16|bfloat16|float64)$/.test(dtype));
    if (own.ok || own.missing.length || !isFloat32 || runtime.backend !== "cpu") return own;
    let double: Verification;
    try {
      double = await verifyGraph(file, { ...trial, precision: "float64" });
    } catch (error) {
      if (error instanceof NodeError && error.kind === "no kernel") return own;
      throw error;
    }
    return double.ok ? { ...double, float32: worstErrors(own) } : own;
  } finally {
    runtime.close();
  }
}

/** A reference's values by name, and what is verified with them. */
interface Trial {
  readonly graph: Graph;
  readonly runtime: Runtime;
  readonly reference: ReadonlyMap<string, Value>;
  readonly options: VerifyOptions;
  readonly precision?: "float64";
}

/** Values of the reference as numbers. Throws `reference lacks …`. */
function numbersOf({ reference, options }: Trial, name: string): ArrayLike<number> {
  const value = reference.get(name);
  if (!value) throw new Error(`reference lacks ${name}: ${options.reference}`);
  return numbersIn(value.dtype, value.data);
}

/** Names of the reference's values that start with a prefix, without it. */
const namesOf = ({ reference }: Trial, prefix: string): string[] =>
  [...reference.keys()].filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length));

/** Verifies a forward graph, in float64 if asked. */
async function verifyGraph(file: string, trial: Trial): Promise<Verification> {
  const { graph, reference } = trial;
  const parameters = [...graph.tensors.values()].filter((t) => t.category === "parameter").map((t) => t.name);
  // the reference says what is trained: a file alone cannot tell a buffer from a parameter
  const referenced = namesOf(trial, "grad.");
  const inFile = fileNames(referenced, parameters, graph, reference);
  const isComplete = referenced.length > 0 && inFile.size === referenced.length;
  const compared = new Set(inFile.values());
  const freeze = isComplete ? parameters.filter((name) => !compared.has(name)) : [];
  const made = new Map<string, string>();
  const first = await execute(trial, { optimizer: "sgd", freeze, steps: 1 }, (step) => {
    for (const name of parameters) made.set(name, gradientOf(step, name) ?? "");
    return [...[...made.values()].filter(Boolean), ...step.state.map((pair) => pair.after)];
  });
  const expected = numbersOf(trial, "loss")[0] as number;
  const actual = first.losses[0] as number;
  const loss = { expected, actual, relativeError: relative(actual, expected) };
  const { gradients, missing } = compareGradients(
    new Map(referenced.map((name) => [name, numbersOf(trial, `grad.${name}`)])),
    (name) => first.observed.get(made.get(inFile.get(name) ?? name) ?? ""),
  );
  const buffers = compareBuffers(trial, first.observed);
  const trained = await compareCurves(trial, freeze);
  const ok = isWithinLimits(worstErrors({ loss, gradients, curves: trained })) && !missing.length;
  return { model: file, ok, loss, gradients, missing, buffers, curves: trained };
}

/** Every reference gradient beside the one that the step makes, and those that it does not make. */
function compareGradients(
  referenced: ReadonlyMap<string, ArrayLike<number>>,
  made: (name: string) => ArrayLike<number> | undefined,
): { gradients: Compared[]; missing: string[] } {
  const all = [...referenced.values()];
  const entries = all.reduce((sum, values) => sum + values.length, 0);
  const g = Math.sqrt(all.reduce((sum, values) => sum + norm(values) ** 2, 0) / Math.max(entries, 1));
  const gradients: Compared[] = [];
  const missing: string[] = [];
  for (const [name, expected] of referenced) {
    const actual = made(name);
    if (!actual) {
      missing.push(name);
      continue;
    }
    if (actual.length !== expected.length)
      throw new Error(
        `shape mismatch: grad.${name} has ${expected.length} entries, the model's gradient ${actual.length}`,
      );
    const scale = Math.max(norm(expected), 0.01 * g * Math.sqrt(expected.length));
    gradients.push({ name, relativeError: norm(expected, actual) / scale });
  }
  return { gradients, missing };
}

/** Running statistics after one step beside the reference's. */
function compareBuffers(trial: Trial, observed: ReadonlyMap<string, ArrayLike<number>>): Compared[] {
  const after = new Map(trial.graph.state.map((pair) => [pair.before, pair.after]));
  return namesOf(trial, "buffer.")
    .filter((name) => after.has(name))
    .map((name) => {
      const expected = numbersOf(trial, `buffer.${name}`);
      const actual = observed.get(after.get(name) as string) ?? [];
      return { name, relativeError: norm(expected, actual) / norm(expected) };
    });
}

/** The losses of the first steps beside those of the reference, for each optimizer that it has a curve of. */
async function compareCurves(trial: Trial, freeze: readonly string[]): Promise<Record<string, Curve>> {
  const compared: Record<string, Curve> = {};
  for (const [name, optimizer] of Object.entries(curves)) {
    if (!trial.reference.has(`${name}_curve`)) continue;
    const expected = Array.from(numbersOf(trial, `${name}_curve`));
    const { losses } = await execute(trial, { optimizer, freeze, steps: expected.length }, () => []);
    const errors = expected.map((x, i) => relative(losses[i] as number, x));
    compared[name] = { expected, actual: losses, maxRelativeError: greatest(errors) };
  }
  return compared;
}

/**
 * The parameter of the file that each reference gradient belongs to: the one of its name, else (an exporter keeps one
 * name of a tied parameter only) the single one of its shape that the reference does not name.
 */
function fileNames(
  referenced: readonly string[],
  parameters: readonly string[],
  graph: Graph,
  reference: ReadonlyMap<string, Value>,
): Map<string, string> {
  const unnamed = parameters.filter((name) => !reference.has(`grad.${name}`));
  const known = new Set(parameters);
  const names = new Map<string, string>();
  for (const name of referenced) {
    const shape = reference.get(`grad.${name}`)?.shape.join();
    const alike = unnamed.filter((other) => graph.tensors.get(other)?.shape.join() === shape);
    if (known.has(name)) names.set(name, name);
    else if (alike.length === 1) names.set(name, alike[0] as string);
  }
  return names;
}

/** First values of the state, and the reference's for the inputs. Throws `reference lacks …`, `shape mismatch: …`. */
function firstValues({ graph, reference, options }: Trial, step: Graph, lowered: Graph): Map<string, Uint8Array> {
  const values = initialValues(lowered, step, 0);
  const target = lowered.inputs.find((name) => !graph.inputs.includes(name));
  for (const name of lowered.inputs) {
    const key = name === target ? "target" : reference.has(name) ? name : "input";
    const value = reference.get(key);
    const tensor = lowered.tensors.get(name);
    if (!value || !tensor) throw new Error(`reference lacks ${key}: ${options.reference}`);
    const given = tensor.dtype === "float64" ? doubled(value) : value;
    if (given.dtype !== tensor.dtype || given.data.length !== tensorBytes(tensor))
      throw new Error(
        `shape mismatch: reference ${key} is ${value.dtype}[${value.shape}], the model's ${name} ${tensor.dtype}[${tensor.shape}]`,
      );
    values.set(name, given.data);
  }
  return values;
}

/** Trains some steps on the reference's inputs; `observed` holds the tensors to observe of the first step. */
async function execute(
  trial: Trial,
  training: { readonly optimizer: string; readonly freeze: readonly string[]; readonly steps: number },
  observe: (step: Graph) => Iterable<string>,
): Promise<{ losses: number[]; observed: Map<string, ArrayLike<number>> }> {
  const { graph, runtime, options, precision } = trial;
  const { optimizer, freeze, steps } = training;
  const { step, baseline: lowered } = stepFor(runtime, graph, { loss: options.loss, optimizer, freeze, precision }, 0);
  const { step: loaded } = loadWithValues(lowered, runtime, firstValues(trial, step, lowered));
  try {
    const losses: number[] = [];
    const observed = new Map<string, ArrayLike<number>>();
    const type = (name: string) => lowered.tensors.get(name)?.dtype ?? "float32";
    for (let i = 0; i < steps; i++) {
      const result = await loaded.run(i === 0 ? { observe: new Set(observe(lowered)) } : {});
      for (const [name, bytes] of result.observed) observed.set(name, numbersIn(type(name), bytes));
      losses.push(valuesOf(type(lowered.loss as string), loaded.read(lowered.loss as string))[0] as number);
    }
    return { losses, observed };
  } finally {
    loaded.close();
  }
}
