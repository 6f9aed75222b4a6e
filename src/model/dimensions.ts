import { formatCommand } from "../format.js";
import { own } from "../own.js";
import { dimensionExpression } from "./dimension-expressions.js";
import type { Model, ModelValue } from "./model.js";

/** Size of each symbolic dimension: `{ batch: 32 }`. */
export type Dims = Readonly<Record<string, number>>;

type Inputs = Pick<Model, "inputs">;

/** The name of an input's dimension that has no size; of one that has no name either, one by the input and the axis. */
const symbolOf = (input: ModelValue, dim: string | null, axis: number): string => dim ?? `${input.name}.${axis}`;

/** Whether inputs have a dimension of just that name. */
function namedBy({ inputs }: Inputs): (name: string) => boolean {
  const names = new Set(inputs.flatMap(({ dims }) => dims));
  return (name) => names.has(name);
}

/**
 * The dimensions of a model's inputs that have no size, and on which axis each is met first. One that is computed from
 * others (`batch*seq`) counts as these.
 */
export function symbolsOf(model: Inputs): ReadonlyMap<string, number> {
  const isDimension = namedBy(model);
  const axes = new Map<string, number>();
  for (const input of model.inputs)
    input.dims.forEach((dim, axis) => {
      if (typeof dim === "number") return;
      const expression = dim === null ? undefined : dimensionExpression(dim, isDimension);
      for (const symbol of expression?.names ?? [symbolOf(input, dim, axis)])
        if (!axes.has(symbol)) axes.set(symbol, axis);
    });
  return axes;
}

/** Throws `unknown dimension: …` for a size of a dimension that the model does not have, and for one that is no size. */
export function checkDims(model: Inputs, dims: Dims): void {
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

/** The size of a symbolic dimension, if it is given or follows from what is. Throws for one that follows and is none. */
function sizeOf(symbol: string, dims: Dims, isDimension: (name: string) => boolean): number | undefined {
  const size = own(dims, symbol) ?? dimensionExpression(symbol, isDimension)?.size(dims);
  if (size !== undefined && (!Number.isSafeInteger(size) || size < 0))
    throw new Error(`dimension is not a whole number: ${symbol} is ${size}`);
  return size;
}

/** An input's shape with its symbolic dimensions bound; `model` has all inputs. Throws `unbound dimension: …`. */
export function boundShape(input: ModelValue, dims: Dims, model: Inputs = { inputs: [input] }): number[] {
  const isDimension = namedBy(model);
  return input.dims.map((dim, axis) => {
    if (typeof dim === "number") return dim;
    const symbol = symbolOf(input, dim, axis);
    const size = sizeOf(symbol, dims, isDimension);
    if (size !== undefined) return size;
    const names = dim === null ? undefined : dimensionExpression(dim, isDimension)?.names;
    const open = (names ?? [symbol]).filter((name) => own(dims, name) === undefined);
    const pass = formatCommand(open.flatMap((name) => ["--dim", `${name}=N`]));
    throw new Error(
      `unbound dimension: ${open.join(", ")} (pass ${pass}${names ? `, of which ${input.name} has ${symbol}` : ""})`,
    );
  });
}

/**
 * What is to be said of an output whose shape is not what the file declares, as far as that is known; undefined if it is.
 * ONNX Runtime, too, only warns.
 */
export function outputNote(
  output: ModelValue,
  shape: readonly number[],
  dims: Dims,
  model: Inputs = { inputs: [] },
): string | undefined {
  const isDimension = namedBy(model);
  const declared = output.dims.map((dim) => (typeof dim === "string" ? openSize(dim, dims, isDimension) : dim));
  const fits = declared.length === shape.length && declared.every((dim, axis) => dim === null || dim === shape[axis]);
  if (output.dims.length === 0 || fits) return undefined;
  return `output ${output.name} is [${shape}] where the file declares [${output.dims.map((dim) => dim ?? "?")}]: what the nodes make is used`;
}

function openSize(symbol: string, dims: Dims, isDimension: (name: string) => boolean): number | null {
  try {
    return sizeOf(symbol, dims, isDimension) ?? null;
  } catch {
    return Number.NaN;
  }
}
