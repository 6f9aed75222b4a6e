import type { Builder } from "../build/build.js";
import { type DType, type Graph, int, onnxNumbers } from "../graph/graph.js";
import { nextName, stateName } from "../graph/names.js";
import { bytesOf } from "../graph/values.js";
import { math, type Operand } from "../ops/math.js";
import { cast } from "../ops/shapes.js";
import { type Named, numericSettings } from "./settings.js";

/** One flat buffer of parameters with the flat buffer of their gradients, both of shape [n]. */
export interface FlatParameters {
  readonly parameters: string;
  readonly gradients: string;
}

/** Tensors that the update replaces: `after` takes the place of `before`. */
export type State = { readonly before: string; readonly after: string };

/** An optimizer: reads its settings, which can be wrong without any model, and appends an update. */
interface Optimizer {
  readonly check: (named: Named) => { readonly lr: number };
  readonly append: (b: Builder, flat: FlatParameters, named: Named, rates: Rates) => State[];
}

/** What the learning rate is in a step: a number that never changes, or a tensor that holds one. */
export type Rates = "constants" | "tensors";

/** Declares optimizer state shaped like the parameters and filled with zeros, in the type that the update computes in. */
function zeros(b: Builder, flat: FlatParameters, name: string): string {
  const { shape } = b.type(flat.parameters);
  const dtype = computeType(b, flat);
  return b.declare({ name: b.fresh(stateName(flat.parameters, name)), dtype, shape, category: "optimizer state" });
}

/** Parameters of 16 bits are updated in float32: their states would lose small changes, and Adam's ε vanishes. */
const computeType = (b: Builder, flat: FlatParameters): DType => {
  const { dtype } = b.type(flat.parameters);
  return dtype === "float64" ? "float64" : "float32";
};

/** How what takes the place of a state is called, and what it is. */
export const next = (b: Builder, before: string): { outputs: string[]; category: "parameter" | "optimizer state" } => ({
  outputs: [b.fresh(nextName(before))],
  category: b.type(before).category === "parameter" ? "parameter" : "optimizer state",
});

/** The parameters and gradients in the type that the update computes in. */
const operands = (b: Builder, flat: FlatParameters): { p: string; g: string } => ({
  p: cast(b, flat.parameters, computeType(b, flat)),
  g: cast(b, flat.gradients, computeType(b, flat)),
});

/**
 * The learning rate, or it times a factor, as an operand of the update. As a tensor it has the bytes that the constant
 * would have, so that both give the same bits.
 */
function rateOperand(
  b: Builder,
  flat: FlatParameters,
  rates: Rates,
  { lr, factor, name }: { readonly lr: number; readonly factor: number; readonly name: string },
): Operand {
  if (rates === "constants") return lr * factor;
  const dtype = computeType(b, flat);
  return b.declare({
    name: b.fresh(stateName(flat.parameters, name)),
    dtype,
    shape: [],
    category: "optimizer state",
    data: bytesOf(dtype, [lr * factor]),
    rate: factor,
  });
}

/** The bytes of every tensor of a step that follows the learning rate, by name, at some rate. */
export const ratesAt = ({ tensors }: Pick<Graph, "tensors">, lr: number): Map<string, Uint8Array> =>
  new Map(
    [...tensors.values()].flatMap(({ name, dtype, rate }) =>
      rate === undefined ? [] : [[name, bytesOf(dtype, [lr * rate])] as const],
    ),
  );

/** p − step, written to where the parameters are. */
function descend(b: Builder, flat: FlatParameters, p: string, step: string): State {
  const before = flat.parameters;
  if (p === before) return { before, after: b.op("Sub", [p, step], {}, next(b, before)) };
  const to = int(onnxNumbers[b.type(before).dtype]);
  return { before, after: b.op("Cast", [math(b).sub(p, step)], { to }, next(b, before)) };
}

/**
 * With weight decay g ← g + decay·p; v ← momentum·v + g; p ← p − lr·v, or p − lr·(g + momentum·v) with Nesterov's
 * momentum. PyTorch's form: the first step's v is g.
 */
const sgd: Optimizer["append"] = (b, flat, named, rates) => {
  const { lr: base, momentum, nesterov, weight_decay } = sgdSettings(named);
  const m = math(b);
  const { p, g } = operands(b, flat);
  const lr = rateOperand(b, flat, rates, { lr: base, factor: 1, name: "lr" });
  const gradient = weight_decay ? m.add(g, m.mul(p, weight_decay)) : g;
  if (!momentum) return [descend(b, flat, p, m.mul(gradient, lr))];
  const velocity = zeros(b, flat, "velocity");
  const v = b.op("Add", [m.mul(velocity, momentum), gradient], {}, next(b, velocity));
  const direction = nesterov ? m.add(gradient, m.mul(v, momentum)) : v;
  return [{ before: velocity, after: v }, descend(b, flat, p, m.mul(direction, lr))];
};

/**
 * Adam (Kingma & Ba 2015, algorithm 1): m ← m + (1−β₁)(g−m);  v ← v + (1−β₂)(g²−v);
 * p ← p − lr/(1−β₁ᵗ) · m / (√v/√(1−β₂ᵗ) + ε). The powers βᵗ are state, so every step is the same graph.
 * Weight decay is part of the gradient (g + decay·p), or with `decoupled` of the parameter (p − lr·decay·p: AdamW,
 * Loshchilov & Hutter 2019).
 */
const adamWith =
  (decoupled: boolean): Optimizer["append"] =>
  (b, flat, named, rates) => {
    const { lr: base, beta1, beta2, eps, weight_decay } = adamSettings(named, decoupled);
    const x = math(b);
    const { p, g } = operands(b, flat);
    const gradient = weight_decay && !decoupled ? x.add(g, x.mul(p, weight_decay)) : g;
    const dtype = computeType(b, flat);
    const power = (name: string, beta: number): State & { correction: string } => {
      const before = b.declare({
        name: b.fresh(stateName(flat.parameters, `${name}_power`)),
        dtype,
        shape: [],
        category: "optimizer state",
        data: bytesOf(dtype, [1]),
      });
      const after = b.op("Mul", [before, b.scalar(beta, p)], {}, next(b, before));
      return { before, after, correction: x.sub(1, after) };
    };
    /** s ← s + (1−β)(y−s) */
    const blend = (before: string, y: string, beta: number): State => {
      const change = x.mul(x.sub(y, before), 1 - beta);
      return { before, after: b.op("Add", [before, change], {}, next(b, before)) };
    };
    const first = power("beta1", beta1);
    const second = power("beta2", beta2);
    const m = blend(zeros(b, flat, "m"), gradient, beta1);
    const v = blend(zeros(b, flat, "v"), x.square(gradient), beta2);
    const root = x.div(x.sqrt(v.after), x.sqrt(second.correction));
    const lr = rateOperand(b, flat, rates, { lr: base, factor: 1, name: "lr" });
    const step = x.mul(x.div(m.after, x.add(root, eps)), x.div(lr, first.correction));
    const decayed = (): string =>
      x.mul(p, rateOperand(b, flat, rates, { lr: base, factor: weight_decay, name: "lr_decay" }));
    const whole = weight_decay && decoupled ? x.add(step, decayed()) : step;
    const states = [first, second, m, v].map(({ before, after }) => ({ before, after }));
    return [...states, descend(b, flat, p, whole)];
  };

/** `betas=0.9/0.999` is beta1 and beta2. */
function splitBetas(named: Named): Named {
  const betas = named.settings.get("betas");
  if (betas === undefined) return named;
  const [beta1 = "", beta2 = "", ...rest] = betas.split("/");
  if (rest.length || !beta2) throw new Error(`setting betas of ${named.name} is not two numbers: ${betas}`);
  const settings = new Map([...named.settings].filter(([key]) => key !== "betas"));
  return { name: named.name, settings: settings.set("beta1", beta1).set("beta2", beta2) };
}

/** Throws for a setting that no optimizer computes with: negative, a β of 1 or more, or above what float32 holds. */
function inRange<S extends Readonly<Record<string, number>>>({ name }: Named, settings: S): S {
  for (const [key, value] of Object.entries(settings)) {
    if (value < 0 || !Number.isFinite(Math.fround(value)))
      throw new Error(`${key} of ${name} is not a number from 0 on that float32 holds: ${value}`);
    if (key.startsWith("beta") && value >= 1) throw new Error(`${key} of ${name} is not from 0 to below 1: ${value}`);
  }
  return settings;
}

/** The settings of `sgd`. Throws for an unknown one and for those that do not go together. */
function sgdSettings(named: Named) {
  const settings = numericSettings(named, { lr: 1e-2, momentum: 0.9, nesterov: 0, weight_decay: 0 });
  if (settings.nesterov && settings.momentum <= 0)
    throw new Error(`nesterov of sgd needs a momentum above 0: ${settings.momentum}`);
  return inRange(named, settings);
}

/** The settings of `adam`, or with `decoupled` of `adamw`. Throws for an unknown one. */
const adamSettings = (named: Named, decoupled: boolean) =>
  inRange(
    named,
    numericSettings(splitBetas(named), {
      lr: 1e-3,
      beta1: 0.9,
      beta2: 0.999,
      eps: 1e-8,
      weight_decay: decoupled ? 1e-2 : 0,
    }),
  );

const adam = (decoupled: boolean): Optimizer => ({
  check: (named) => adamSettings(named, decoupled),
  append: adamWith(decoupled),
});

const optimizers: ReadonlyMap<string, Optimizer> = new Map([
  ["sgd", { check: sgdSettings, append: sgd }],
  ["adam", adam(false)],
  ["adamw", adam(true)],
]);

/** The names of all optimizers. */
export const optimizerNames: readonly string[] = [...optimizers.keys()];

/** Throws `unknown optimizer: …`, or what is wrong with its settings. */
export const checkOptimizer = (named: Named): void => void optimizerOf(named).check(named);

function optimizerOf({ name }: Named): Optimizer {
  const optimizer = optimizers.get(name);
  if (!optimizer) throw new Error(`unknown optimizer: ${name} (one of ${optimizerNames.join(", ")})`);
  return optimizer;
}

/** What happens to all gradients before the update. */
export interface GradientSettings {
  /** Gradients are scaled down to this norm, over all parameters together, where theirs is greater. */
  readonly clipNorm?: number;
  /** What the loss was multiplied by before the backward phase; the gradients are divided by it: a number, or a scalar of float32. Default 1. */
  readonly lossScale?: number | string;
}

/**
 * Scales the flat gradients, in place, and returns them under their new names: divided by the loss scale, and by
 * min(1, clipNorm/(norm + 1e-6)) as PyTorch's `clip_grad_norm_` does.
 */
export function scaleGradients(
  b: Builder,
  flats: readonly FlatParameters[],
  { clipNorm, lossScale = 1 }: GradientSettings,
): FlatParameters[] {
  if (clipNorm === undefined && lossScale === 1) return [...flats];
  const m = math(b);
  const inverse = typeof lossScale === "string" ? m.reciprocal(lossScale) : lossScale === 1 ? undefined : 1 / lossScale;
  const scalarOf = (value: string | number, dtype: DType): string | number =>
    typeof value === "string" ? cast(b, value, dtype) : value;
  let factor: string | undefined;
  if (clipNorm !== undefined) {
    // the product of a vector with itself: no temporary of the gradients' size
    const finest = flats.some(({ gradients }) => b.type(gradients).dtype === "float64") ? "float64" : "float32";
    const squares = flats.map(({ gradients }) => {
      const full = cast(b, gradients, finest);
      return b.op("MatMul", [full, full]);
    });
    const norm = m.sqrt(squares.reduce((total, square) => m.add(total, square)));
    const unscaled = inverse === undefined ? norm : m.mul(norm, scalarOf(inverse, finest));
    const limit = m.div(clipNorm, m.add(unscaled, 1e-6));
    const clipped = m.where(m.less(limit, 1), limit, 1);
    factor = inverse === undefined ? clipped : m.mul(clipped, scalarOf(inverse, finest));
  }
  return flats.map((flat) => {
    const { dtype } = b.type(flat.gradients);
    const by =
      factor !== undefined
        ? cast(b, factor, dtype)
        : typeof inverse === "string"
          ? cast(b, inverse, dtype)
          : b.constant(dtype, [], inverse as number);
    const options = { outputs: [b.fresh(`${flat.gradients}.scaled`)], category: "gradient" as const };
    const scaled = b.op("Mul", [flat.gradients, by], {}, options);
    b.redeclare({ ...b.type(scaled), within: { tensor: flat.gradients, offsetBytes: 0 } });
    return { ...flat, gradients: scaled };
  });
}

/**
 * Appends the update of one flat parameter buffer, with learning rates as constants or as tensors, and returns what it
 * replaces. Throws for an unknown optimizer or setting.
 */
export function appendUpdate(b: Builder, flat: FlatParameters, named: Named, rates: Rates = "constants"): State[] {
  return optimizerOf(named).append(b, flat, named, rates);
}

/** The learning rate that an optimizer's settings say, or its default. */
export const learningRateOf = (named: Named): number => optimizerOf(named).check(named).lr;
