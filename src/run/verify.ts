import { NodeError } from "../graph/errors.js";
import { type Graph, tensorBytes } from "../graph/graph.js";
import { gradientName } from "../graph/names.js";
import { type Value, valuesOf } from "../graph/values.js";
import { readModel } from "../model/read.js";
import { readSafetensors } from "../model/safetensors.js";
import { loadWithValues } from "../runtime/load.js";
import { openRuntime } from "../runtime/open.js";
import type { Runtime } from "../runtime/runtime.js";
import { initialValues } from "../step/initial.js";
import { doubled } from "../step/precision.js";

import { stepFor } from "../step/step.js";
import { checkOptions } from "./option-checks.js";
import { withDefaults } from "./option-forms.js";
import type { OptionsOf } from "./options.js";

/** What `verifyModel` takes: the options of `mutwo verify`. */
export type VerifyOptions = OptionsOf<"verify">;

/** How far one tensor is from its reference: ‖actual − expected‖ / ‖expected‖. */
export interface Compared {
  readonly name: string;
  readonly relativeError: number;
}

/** The loss of each step of a training, and of the reference's. */
export interface Curve {
  readonly expected: readonly number[];
  readonly actual: readonly number[];
  readonly maxRelativeError: number;
}

/** How a model's training step compares with reference values; what `mutwo verify --json` prints. */
export interface Verification {
  readonly model: string;
  /** Loss within 1e-4, every gradient within 1e-3, none missing, curves within 1e-3, all relative. */
  readonly ok: boolean;
  readonly loss: { readonly expected: number; readonly actual: number; readonly relativeError: number };
  /** ‖actual − expected‖₂ / max(‖expected‖₂, 0.01·g·√n), g the root mean square of all expected gradient entries. */
  readonly gradients: readonly Compared[];
  /** Reference gradients that the training step does not make. */
  readonly missing: readonly string[];
  /** Running statistics after one step; reported, not judged. */
  readonly buffers: readonly Compared[];
  readonly curves: Readonly<Record<string, Curve>>;
  /** Only if all of the above is float64's (see `verifyModel`): the worst errors in float32, which are rounding alone. */
  readonly float32?: WorstErrors;
}

/** Greatest relative errors of a verification. */
export interface WorstErrors {
  readonly loss: number;
  readonly gradient: number;
  readonly curve: number;
}

/** The optimizers with which the references' curves were made. */
const curves: Readonly<Record<string, string>> = {
  adam: "adam:lr=1e-3,betas=0.9/0.999,eps=1e-8",
  sgd: "sgd:lr=1e-2,momentum=0.9",
};

const norm = (values: readonly number[]): number => Math.sqrt(values.reduce((sum, x) => sum + x * x, 0));

const relative = (actual: number, expected: number): number =>
  Math.abs(actual - expected) / Math.max(Math.abs(expected), Number.MIN_VALUE);

/** NaN counts as the worst error there is. */
const within = (error: number, limit: number): boolean => error <= limit;

/** NaN counts as the greatest. */
const greatest = (errors: readonly number[]): number => errors.reduce((a, z) => (z > a || Number.isNaN(z) ? z : a), 0);

const worstErrors = ({
  loss,
  gradients,
  curves,
}: Pick<Verification, "loss" | "gradients" | "curves">): WorstErrors => ({
  loss: loss.relativeError,
  gradient: greatest(gradients.map(({ relativeError }) => relativeError)),
  curve: greatest(Object.values(curves).map(({ maxRelativeError }) => maxRelativeError)),
});

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
    const { graph } = readModel(file, { dims, runtime, batchNorm });
    const own = await verifyGraph(file, graph, reference, runtime, options);
    const isFloat32 = [...graph.tensors.values()].every(({ dtype }) => !/^(float16|bfloat16|float64)$/.test(dtype));
    if (own.ok || own.missing.length || !isFloat32 || runtime.backend !== "cpu") return own;
    let double: Verification;
    try {
      double = await verifyGraph(file, graph, reference, runtime, options, "float64");
    } catch (error) {
      if (error instanceof NodeError && error.kind === "no kernel") return own;
      throw error;
    }
    return double.ok ? { ...double, float32: worstErrors(own) } : own;
  } finally {
    runtime.close();
  }
}

/** Verifies a forward graph, in float64 if asked. */
async function verifyGraph(
  file: string,
  graph: Graph,
  reference: ReadonlyMap<string, Value>,
  runtime: Runtime,
  options: VerifyOptions,
  precision?: "float64",
): Promise<Verification> {
  const numbers = (name: string): number[] => {
    const value = reference.get(name);
    if (!value) throw new Error(`reference lacks ${name}: ${options.reference}`);
    return valuesOf(value.dtype, value.data);
  };
  const parameters = [...graph.tensors.values()].filter((t) => t.category === "parameter").map((t) => t.name);
  // the reference says what is trained: a file alone cannot tell a buffer from a parameter
  const referenced = [...reference.keys()].filter((key) => key.startsWith("grad.")).map((key) => key.slice(5));
  const inFile = fileNames(referenced, parameters, graph, reference);
  const isComplete = referenced.length > 0 && inFile.size === referenced.length;
  const compared = new Set(inFile.values());
  const freeze = isComplete ? parameters.filter((name) => !compared.has(name)) : [];
  const run = async (optimizer: string, steps: number, observe: (step: Graph) => Iterable<string>) => {
    const training = { loss: options.loss, optimizer, freeze, ...(precision ? { precision } : {}) };
    const { step, baseline } = stepFor(runtime, graph, training, 0);
    return execute(baseline, step, graph, reference, runtime, steps, new Set(observe(baseline)), options.reference);
  };

  const first = await run("sgd", 1, (step) => [
    ...parameters.map(gradientName).filter((name) => step.tensors.has(name)),
    ...step.state.map((pair) => pair.after),
  ]);
  const expectedLoss = numbers("loss")[0] as number;
  const actualLoss = first.losses[0] as number;

  const all = referenced.map((name) => numbers(`grad.${name}`));
  const entries = all.reduce((sum, values) => sum + values.length, 0);
  const g = Math.sqrt(all.reduce((sum, values) => sum + norm(values) ** 2, 0) / Math.max(entries, 1));
  const gradients: Compared[] = [];
  const missing: string[] = [];
  referenced.forEach((name, i) => {
    const actual = first.observed.get(gradientName(inFile.get(name) ?? name));
    const expected = all[i] as number[];
    if (!actual) missing.push(name);
    else if (actual.length !== expected.length)
      throw new Error(
        `shape mismatch: grad.${name} has ${expected.length} entries, the model's gradient ${actual.length}`,
      );
    else {
      const scale = Math.max(norm(expected), 0.01 * g * Math.sqrt(expected.length));
      gradients.push({ name, relativeError: norm(expected.map((x, k) => x - (actual[k] as number))) / scale });
    }
  });

  const after = new Map(graph.state.map((pair) => [pair.before, pair.after]));
  const buffers = [...reference.keys()]
    .filter((key) => key.startsWith("buffer.") && after.has(key.slice(7)))
    .map((key): Compared => {
      const name = key.slice(7);
      const expected = numbers(key);
      const actual = first.observed.get(after.get(name) as string) ?? [];
      return { name, relativeError: norm(expected.map((x, i) => x - (actual[i] as number))) / norm(expected) };
    });

  const trained: Record<string, Curve> = {};
  for (const [name, optimizer] of Object.entries(curves)) {
    if (!reference.has(`${name}_curve`)) continue;
    const expected = numbers(`${name}_curve`);
    const { losses } = await run(optimizer, expected.length, () => []);
    const errors = expected.map((x, i) => relative(losses[i] as number, x));
    trained[name] = { expected, actual: losses, maxRelativeError: greatest(errors) };
  }

  const loss = { expected: expectedLoss, actual: actualLoss, relativeError: relative(actualLoss, expectedLoss) };
  const worst = worstErrors({ loss, gradients, curves: trained });
  const ok =
    within(worst.loss, 1e-4) && missing.length === 0 && within(worst.gradient, 1e-3) && within(worst.curve, 1e-3);
  return { model: file, ok, loss, gradients, missing, buffers, curves: trained };
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

/** Runs some steps of a training step on the reference's inputs; `observed` holds tensors of the first step. */
async function execute(
  lowered: Graph,
  step: Graph,
  model: Graph,
  reference: ReadonlyMap<string, Value>,
  runtime: Runtime,
  steps: number,
  observe: ReadonlySet<string>,
  file: string,
): Promise<{ losses: number[]; observed: Map<string, number[]> }> {
  const values = initialValues(lowered, step, 0);
  const target = lowered.inputs.find((name) => !model.inputs.includes(name));
  for (const name of lowered.inputs) {
    const key = name === target ? "target" : reference.has(name) ? name : "input";
    const value = reference.get(key);
    const tensor = lowered.tensors.get(name);
    if (!value || !tensor) throw new Error(`reference lacks ${key}: ${file}`);
    const given = tensor.dtype === "float64" ? doubled(value) : value;
    if (given.dtype !== tensor.dtype || given.data.length !== tensorBytes(tensor))
      throw new Error(
        `shape mismatch: reference ${key} is ${value.dtype}[${value.shape}], the model's ${name} ${tensor.dtype}[${tensor.shape}]`,
      );
    values.set(name, given.data);
  }
  const { step: loaded } = loadWithValues(lowered, runtime, values);
  try {
    const losses: number[] = [];
    const observed = new Map<string, number[]>();
    const type = (name: string) => lowered.tensors.get(name)?.dtype ?? "float32";
    for (let i = 0; i < steps; i++) {
      const result = await loaded.run(i === 0 ? { observe } : {});
      for (const [name, bytes] of result.observed) observed.set(name, valuesOf(type(name), bytes));
      losses.push(valuesOf(type(lowered.loss as string), loaded.read(lowered.loss as string))[0] as number);
    }
    return { losses, observed };
  } finally {
    loaded.close();
  }
}
