import { few } from "../format.js";
import { bytesPerElement, type DType, elementCount, type TensorType } from "../graph/graph.js";
import { valuesOf } from "../graph/values.js";
import { heldTensors } from "./held.js";
import type { Model } from "./model.js";
import { givenTensors, Rule } from "./rule.js";

const exportPlainly = "torch.onnx.export(…, dynamo=True, optimize=False) keeps all apart";

/** A float tensor that stays as it is, and why. */
export interface Untrained {
  readonly name: string;
  readonly shape: readonly number[];
  readonly reason: string;
}

/** Names of the float tensors that are trained, and of those that kernels renew; and what a user should know of it. */
export interface Roles {
  readonly parameters: ReadonlySet<string>;
  readonly buffers: ReadonlySet<string>;
  /** Every other float tensor that the file holds. */
  readonly untrained: readonly Untrained[];
  readonly notes: readonly string[];
}

/**
 * Which float tensors of a model are trained: initializers, Constant nodes and graph inputs alike, by what their readers
 * do with them. `mutwo help model` states the rule. Throws `not a number: …` for weights that hold NaN, `not
 * finite: …` for those of products and norms that hold infinities.
 */
export function roles(model: Model): Roles {
  const held = heldTensors(model);
  const rule = new Rule(model, held);
  const parameters = new Set<string>();
  const buffers = new Set(rule.buffers);
  const untrained: Untrained[] = [];
  const notes: string[] = [];
  for (const tensor of held) {
    const { name, shape } = tensor;
    const found = rule.reasonAgainst(tensor);
    const odd = !found || buffers.has(name) ? notFinite(tensor) : { nan: 0, infinite: 0 };
    const infinite = found ? 0 : odd.infinite;
    if (infinite && rule.isWeight(name))
      throw new Error(`not finite: ${infinite} of ${elementCount(shape)} values of weight ${name} are infinite`);
    const reason = found ?? (infinite ? "infinite values: a mask" : undefined);
    if (reason) untrained.push({ name, shape, reason });
    else parameters.add(name);
    const nan = !reason || buffers.has(name) ? odd.nan : 0;
    if (nan) throw new Error(`not a number: ${nan} of ${elementCount(shape)} values of ${name} are NaN`);
  }
  const holdsWeights = [...parameters].some((name) => rule.isWeight(name));
  const given = givenTensors(model);
  const asInputs = given.filter(({ name, dims }) =>
    holdsWeights ? rule.isWeight(name, false) : rule.couldTrain(name, dims as readonly number[]),
  );
  for (const { name } of asInputs) parameters.add(name);
  if (asInputs.length)
    notes.push(
      `${holdsWeights ? "" : "the file holds no weights: "}${asInputs.length} graph inputs are parameters, with seeded initial values`,
    );
  if (!holdsWeights) for (const { name } of given) if (!parameters.has(name)) buffers.add(name);
  const known = new Set([...held, ...model.inputs].map(({ name }) => name));
  for (const name of buffers) if (!known.has(name)) buffers.delete(name);
  const { absent } = rule;
  if (absent.length)
    notes.push(
      `${absent.length} parameters of the PyTorch model are not in the file under their names (${few(absent)}): tied to others, or merged and transposed by the exporter's optimisation; ${exportPlainly}`,
    );
  const merged = mergedParameters(model, parameters);
  if (merged.length)
    notes.push(
      `${merged.length} parameters look merged: each holds one value and is read by several nodes (${few(merged)}); they are trained as one; ${exportPlainly}`,
    );
  return { parameters, buffers, untrained, notes };
}

type Initializer = TensorType & { readonly data: Uint8Array };

/** Bits of a float's last bytes: those of the exponent, and those of the mantissa beside them. */
const exponents: Readonly<Partial<Record<DType, readonly [last: number, before: number]>>> = {
  float16: [0x7c, 0],
  bfloat16: [0x7f, 0x80],
  float32: [0x7f, 0x80],
  float64: [0x7f, 0xf0],
};

/** How many elements are NaN, and how many infinite; reads the bytes where they are, aligned or not. */
function notFinite({ dtype, data }: Initializer): { nan: number; infinite: number } {
  const [last, before] = exponents[dtype] ?? [0, 0];
  const size = bytesPerElement(dtype);
  const found = { nan: 0, infinite: 0 };
  if (!last) return found;
  for (let end = size - 1; end < data.length; end += size) {
    if (((data[end] as number) & last) !== last || ((data[end - 1] as number) & before) !== before) continue;
    const [value] = valuesOf(dtype, data.subarray(end - size + 1, end + 1));
    found[Number.isNaN(value) ? "nan" : "infinite"]++;
  }
  return found;
}

/**
 * Parameters of one dimension that several nodes read and that hold one value only: PyTorch's newer exporter merges
 * initializers of equal values when it optimises, all biases that are zero into one.
 */
function mergedParameters(model: Model, parameters: ReadonlySet<string>): string[] {
  const readers = new Map<string, number>();
  for (const node of model.nodes)
    for (const name of new Set(node.inputs)) if (parameters.has(name)) readers.set(name, (readers.get(name) ?? 0) + 1);
  return [...readers].flatMap(([name, count]) => {
    const initializer = model.initializers.get(name);
    if (count < 2 || initializer?.shape.length !== 1) return [];
    const { data, dtype } = initializer;
    const size = bytesPerElement(dtype);
    return data.every((byte, i) => byte === data[i % size]) ? [name] : [];
  });
}
