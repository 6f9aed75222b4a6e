import { own } from "../own.js";
import type { Model, ModelValue } from "./model.js";

/** Size of each symbolic dimension: `{ batch: 32 }`. */
export type Dims = Readonly<Record<string, number>>;

/** The dimensions of a model's inputs that have no size, and on which axis each is met first. */
export function symbolsOf({ inputs }: Pick<Model, "inputs">): ReadonlyMap<string, number> {
  const axes = new Map<string, number>();
  for (const input of inputs)
    input.dims.forEach((dim, axis) => {
      const symbol = typeof dim === "number" ? undefined : (dim ?? `${input.name}.${axis}`);
      if (symbol !== undefined && !axes.has(symbol)) axes.set(symbol, axis);
    });
  return axes;
}

/** Throws `unknown dimension: …` for a size of a dimension that the model does not have, and for one that is no size. */
export function checkDims(model: Model, dims: Dims): void {
  const symbols = symbolsOf(model);
  for (const [name, size] of Object.entries(dims)) {
    if (!symbols.has(name))
      throw new Error(
        `unknown dimension: ${name} (${symbols.size ? `the model has ${[...symbols.keys()].join(", ")}` : "all of the model's dimensions are fixed"})`,
      );
    if (!Number.isSafeInteger(size) || size < 1)
      throw new Error(`dimension is not a positive integer: ${name}=${size}`);
  }
}

/** An input's shape with its symbolic dimensions bound. Throws `unbound dimension: …`. */
export const boundShape = (input: ModelValue, dims: Dims): number[] =>
  input.dims.map((dim, axis) => {
    if (typeof dim === "number") return dim;
    const symbol = dim ?? `${input.name}.${axis}`;
    const size = own(dims, symbol);
    if (size === undefined) throw new Error(`unbound dimension: ${symbol} (pass --dim ${symbol}=N)`);
    return size;
  });

/** Throws `contradicting dimension: …` for an output whose shape is not what the file declares. */
export function checkOutput(output: ModelValue, shape: readonly number[], dims: Dims): void {
  const declared = output.dims.map((dim) => (typeof dim === "string" ? own(dims, dim) : dim) ?? null);
  const fits = declared.length === shape.length && declared.every((dim, axis) => dim === null || dim === shape[axis]);
  if (output.dims.length > 0 && !fits)
    throw new Error(`contradicting dimension: output ${output.name} is [${shape}], the model says [${output.dims}]`);
}
