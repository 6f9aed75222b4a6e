import type { Builder } from "../build/build.js";
import { type DType, type Graph, int, onnxNumbers } from "../graph/graph.js";
import { nextName, stateName } from "../graph/names.js";
import { bytesOf, valuesOf } from "../graph/values.js";
import { math, type Operand } from "../ops/math.js";
import { cast } from "../ops/shapes.js";
import {
  besideRows,
  coefficient,
  isUsed,
  listed,
  type ModelRows,
  mapped,
  type Setting,
  settingOf,
} from "./coefficients.js";
import { type Named, numericSettings } from "./settings.js";

/**
 * One flat buffer of parameters with the flat buffer of their gradients, both of shape [n]; or of shape [rows, row length]
 * with the model that each row belongs to.
 */
export interface FlatParameters {
  readonly parameters: string;
  readonly gradients: string;
  readonly rows?: ModelRows;
  /** The buffer of parameters whose powers and rates are this one's too: that of which this is a further part. */
  readonly sharesWith?: string;
}

/** Tensors that the update replaces: `after` takes the place of `before`. */
export type State = { readonly before: string; readonly after: string };

/** An optimizer: reads its settings, which can be wrong without any model, and appends an update. */
interface Optimizer {
  readonly check: (named: Named) => Readonly<Record<string, number>> & { readonly lr: number };
  readonly append: (b: Builder, flat: FlatParameters, named: readonly Named[], rates: Rates) => State[];
  /** Settings that all models must have alike. */
  readonly alike: readonly string[];
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
 * The learning rate, or it times a factor: a number, a scalar, or a vector of each model's. As a tensor it has the bytes
 * that the constant would have, so that both give the same bits.
 */
function rateOf(
  b: Builder,
  flat: FlatParameters,
  rates: Rates,
  { lr, factor, name }: { readonly lr: Setting; readonly factor: Setting; readonly name: string },
): Operand {
  const dtype = computeType(b, flat);
  const value = mapped(lr, factor, (a, z) => a * z);
  const { rows, sharesWith } = flat;
  if (rates === "constants") return typeof value === "number" ? value : b.constant(dtype, [value.length], value);
  if (sharesWith) return stateName(sharesWith, name);
  return b.declare({
    name: b.fresh(stateName(flat.parameters, name)),
    dtype,
    shape: rows ? [rows.models] : [],
    category: "optimizer state",
    data: bytesOf(dtype, listed(value, rows?.models ?? 1)),
    rate: factor,
  });
}

/** What `rateOf` gives, or what is made of it, as an operand beside a flat buffer. */
function beside(b: Builder, { rows }: FlatParameters, rate: Operand): Operand {
  const tensor = typeof rate === "string" ? b.type(rate) : undefined;
  if (!rows || !tensor?.shape.length) return rate;
  if (tensor.category !== "constant" || !tensor.data) return besideRows(b, rows, tensor.name);
  return coefficient(b, rows, tensor.dtype, valuesOf(tensor.dtype, tensor.data));
}

/**
 * The bytes of every tensor of a step that follows the learning rate, by name, at some rate: one for all models, or one
 * for each.
 */
export const ratesAt = ({ tensors }: Pick<Graph, "tensors">, lr: Setting): Map<string, Uint8Array> =>
  new Map(
    [...tensors.values()].flatMap(({ name, dtype, shape, rate }) => {
      if (rate === undefined) return [];
      const values = listed(
        mapped(lr, rate, (a, z) => a * z),
        shape[0] ?? 1,
      );
      return [[name, bytesOf(dtype, values.slice(0, shape[0] ?? 1))] as const];
    }),
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
  const { lr: base, momentum, nesterov, weight_decay } = ofModels(named.map(sgdSettings));
  const m = math(b);
  const of = (setting: Setting): Operand => coefficient(b, flat.rows, computeType(b, flat), setting);
  const { p, g } = operands(b, flat);
  const lr = beside(b, flat, rateOf(b, flat, rates, { lr: base, factor: 1, name: "lr" }));
  const gradient = isUsed(weight_decay) ? m.add(g, m.mul(p, of(weight_decay))) : g;
  if (!isUsed(momentum)) return [descend(b, flat, p, m.mul(gradient, lr))];
  const velocity = zeros(b, flat, "velocity");
  const v = b.op("Add", [m.mul(velocity, of(momentum)), gradient], {}, next(b, velocity));
  const direction = isUsed(nesterov) ? m.add(gradient, m.mul(v, of(momentum))) : v;
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
    const settings = ofModels(named.map((one) => adamSettings(one, decoupled)));
    const { lr: base, beta1, beta2, eps, weight_decay } = settings;
    const of = (setting: Setting): Operand => coefficient(b, flat.rows, computeType(b, flat), setting);
    const decays = isUsed(weight_decay);
    const x = math(b);
    const { p, g } = operands(b, flat);
    const gradient = decays && !decoupled ? x.add(g, x.mul(p, of(weight_decay))) : g;
    const dtype = computeType(b, flat);
    const { rows, sharesWith } = flat;
    /** One for all models, or a vector of each one's. */
    const power = (name: string, beta: Setting): State & { correction: string } => {
      if (sharesWith) {
        const known = stateName(sharesWith, `${name}_power`);
        return { before: known, after: nextName(known), correction: x.sub(1, nextName(known)) };
      }
      const isOwn = rows && (rows.isGuarded || typeof beta !== "number");
      const before = b.declare({
        name: b.fresh(stateName(flat.parameters, `${name}_power`)),
        dtype,
        shape: isOwn ? [rows.models] : [],
        category: "optimizer state",
        data: bytesOf(dtype, listed(1, isOwn ? rows.models : 1)),
      });
      const factor = typeof beta === "number" ? b.scalar(beta, p) : b.constant(dtype, [beta.length], beta);
      const after = b.op("Mul", [before, factor], {}, next(b, before));
      return { before, after, correction: x.sub(1, after) };
    };
    /** s ← s + (1−β)(y−s) */
    const blend = (before: string, y: string, beta: Setting): State => {
      const share = mapped(beta, 0, (own) => 1 - own);
      const change = x.mul(x.sub(y, before), of(share));
      return { before, after: b.op("Add", [before, change], {}, next(b, before)) };
    };
    const first = power("beta1", beta1);
    const second = power("beta2", beta2);
    const m = blend(zeros(b, flat, "m"), gradient, beta1);
    const v = blend(zeros(b, flat, "v"), x.square(gradient), beta2);
    const root = x.div(x.sqrt(v.after), beside(b, flat, x.sqrt(second.correction)));
    const lr = rateOf(b, flat, rates, { lr: base, factor: 1, name: "lr" });
    const rate = beside(b, flat, x.div(lr, first.correction));
    const step = x.mul(x.div(m.after, x.add(root, of(eps))), rate);
    const decayed = (): string =>
      x.mul(p, beside(b, flat, rateOf(b, flat, rates, { lr: base, factor: weight_decay, name: "lr_decay" })));
    const whole = decays && decoupled ? x.add(step, decayed()) : step;
    const states = [...(sharesWith ? [] : [first, second]), m, v].map(({ before, after }) => ({ before, after }));
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

/** Settings of the models, each one number if they agree. */
function ofModels<K extends string>(all: readonly Readonly<Record<K, number>>[]): Record<K, Setting> {
  const keys = Object.keys(all[0] as Record<K, number>) as K[];
  return Object.fromEntries(keys.map((key) => [key, settingOf(all.map((one) => one[key]))])) as Record<K, Setting>;
}

const adam = (decoupled: boolean): Optimizer => ({
  check: (named) => adamSettings(named, decoupled),
  append: adamWith(decoupled),
  alike: [],
});

const optimizers: ReadonlyMap<string, Optimizer> = new Map([
  ["sgd", { check: sgdSettings, append: sgd, alike: ["nesterov"] }],
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

/**
 * Appends the update of one flat parameter buffer, with learning rates as constants or as tensors, and returns what it
 * replaces. `named` has one optimizer for all models, or one of the same name for each. Throws for an unknown optimizer or
 * setting.
 */
export function appendUpdate(
  b: Builder,
  flat: FlatParameters,
  named: readonly [Named, ...Named[]],
  rates: Rates = "constants",
): State[] {
  return optimizerOf(named[0]).append(b, flat, named, rates);
}

/** How the optimizers of two models cannot be one with settings for each; undefined if they can. */
export function differingOptimizer(a: Named, z: Named): string | undefined {
  if (a.name !== z.name) return `optimizer ${z.name}, not ${a.name}`;
  const { check, alike } = optimizerOf(a);
  const [own, other] = [check(a), check(z)];
  const key = alike.find((name) => own[name] !== other[name]);
  return key && `${key} ${other[key]} of ${z.name}, not ${own[key]}`;
}

/** Whether two optimizers have the same settings. */
export function isSameOptimizer(a: Named, z: Named): boolean {
  const [own, other] = [optimizerOf(a).check(a), optimizerOf(z).check(z)];
  return a.name === z.name && Object.keys(own).every((key) => own[key] === other[key]);
}

/** The learning rate that an optimizer's settings say, or its default. */
export const learningRateOf = (named: Named): number => optimizerOf(named).check(named).lr;
