import type { Builder } from "./build.js";
import { type Named, numericSettings } from "./settings.js";
import { bytesOf } from "./values.js";

/** One flat buffer of parameters with the flat buffer of their gradients, both of shape [n]. */
export interface FlatParameters {
  readonly parameters: string;
  readonly gradients: string;
}

/** Tensors that the update replaces: `after` takes the place of `before`. */
type State = { readonly before: string; readonly after: string };

type Optimizer = (b: Builder, flat: FlatParameters, named: Named) => State[];

/** Declares optimizer state shaped like the parameters and filled with zeros. */
function zeros(b: Builder, flat: FlatParameters, name: string): string {
  const { dtype, shape } = b.type(flat.parameters);
  return b.declare({ name: b.fresh(`${flat.parameters}.${name}`), dtype, shape, category: "optimizer state" });
}

const next = (b: Builder, before: string): { outputs: string[]; category: "parameter" | "optimizer state" } => ({
  outputs: [b.fresh(`${before}.next`)],
  category: b.type(before).category === "parameter" ? "parameter" : "optimizer state",
});

/** v ← momentum·v + g;  p ← p − lr·v  (PyTorch's form: the first step's v is g). */
const sgd: Optimizer = (b, flat, named) => {
  const { lr, momentum } = numericSettings(named, { lr: 1e-2, momentum: 0.9 });
  const p = flat.parameters;
  const velocity = zeros(b, flat, "velocity");
  const decayed = b.op("Mul", [velocity, b.scalar(momentum, p)]);
  const v = b.op("Add", [decayed, flat.gradients], {}, next(b, velocity));
  const step = b.op("Mul", [v, b.scalar(lr, p)]);
  const after = b.op("Sub", [p, step], {}, next(b, p));
  return [
    { before: velocity, after: v },
    { before: p, after },
  ];
};

/**
 * Adam (Kingma & Ba 2015, algorithm 1): m ← m + (1−β₁)(g−m);  v ← v + (1−β₂)(g²−v);
 * p ← p − lr/(1−β₁ᵗ) · m / (√v/√(1−β₂ᵗ) + ε). The powers βᵗ are state, so every step is the same graph.
 */
const adam: Optimizer = (b, flat, named) => {
  const { lr, beta1, beta2, eps } = numericSettings(splitBetas(named), {
    lr: 1e-3,
    beta1: 0.9,
    beta2: 0.999,
    eps: 1e-8,
  });
  const p = flat.parameters;
  const g = flat.gradients;
  const { dtype } = b.type(p);
  const power = (name: string, beta: number): State & { correction: string } => {
    const before = b.declare({
      name: b.fresh(`${p}.${name}_power`),
      dtype,
      shape: [],
      category: "optimizer state",
      data: bytesOf(dtype, [1]),
    });
    const after = b.op("Mul", [before, b.scalar(beta, p)], {}, next(b, before));
    return { before, after, correction: b.op("Sub", [b.scalar(1, p), after]) };
  };
  /** x ← x + (1−β)(y−x) */
  const blend = (x: string, y: string, beta: number): State => {
    const change = b.op("Mul", [b.op("Sub", [y, x]), b.scalar(1 - beta, p)]);
    return { before: x, after: b.op("Add", [x, change], {}, next(b, x)) };
  };
  const first = power("beta1", beta1);
  const second = power("beta2", beta2);
  const m = blend(zeros(b, flat, "m"), g, beta1);
  const v = blend(zeros(b, flat, "v"), b.op("Mul", [g, g]), beta2);
  const root = b.op("Div", [b.op("Sqrt", [v.after]), b.op("Sqrt", [second.correction])]);
  const ratio = b.op("Div", [m.after, b.op("Add", [root, b.scalar(eps, p)])]);
  const step = b.op("Mul", [ratio, b.op("Div", [b.scalar(lr, p), first.correction])]);
  const after = b.op("Sub", [p, step], {}, next(b, p));
  return [first, second, m, v, { before: p, after }].map((state) => ({ before: state.before, after: state.after }));
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

const optimizers: Readonly<Record<string, Optimizer>> = { sgd, adam };

/** Names of the optimizers, for messages. */
export const optimizerNames = (): readonly string[] => Object.keys(optimizers);

/** Throws `unknown optimizer: …`. */
export function checkOptimizer(named: Named): void {
  if (!optimizers[named.name])
    throw new Error(`unknown optimizer: ${named.name} (one of ${optimizerNames().join(", ")})`);
}

/** Appends the update of one flat parameter buffer and returns what it replaces. Throws for an unknown optimizer or setting. */
export function appendUpdate(b: Builder, flat: FlatParameters, named: Named): State[] {
  checkOptimizer(named);
  return (optimizers[named.name] as Optimizer)(b, flat, named);
}
