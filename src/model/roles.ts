import { few } from "../format.js";
import { bytesPerElement, type DType, elementCount, isFloat, type TensorType } from "../graph/graph.js";
import { valuesOf } from "../graph/values.js";
import { opOf } from "../ops/index.js";
import type { Model } from "./model.js";

/** Names under which exporters and models keep float constants and buffers that are not trained. */
const bufferNames =
  /(^|[./_])(running_mean|running_var|num_batches_tracked|inv_freq|attn_mask|causal_mask|masked_bias|position_ids|relative_coords_table|lifted_tensor\w*|val_\d+|const\w*_\d+|scalar_tensor\w*)$/i;

const exportPlainly = "torch.onnx.export(…, dynamo=True, optimize=False) keeps all apart";

/** What PyTorch's newer exporter says of each parameter and buffer of the model, by name: PARAMETER, BUFFER, … */
function signatureOf(model: Model): Map<string, string> {
  const signature = model.graphMetadata["pkg.torch.export.ExportedProgram.graph_signature"] ?? "";
  return new Map(
    [...signature.matchAll(/^\S+: ([A-Z_]+) target='([^']*)'/gm)].map(([, kind = "", name = ""]) => [name, kind]),
  );
}

/** Names of the float tensors that are trained, and of those that kernels renew; and what a user should know of it. */
export interface Roles {
  readonly parameters: ReadonlySet<string>;
  readonly buffers: ReadonlySet<string>;
  readonly notes: readonly string[];
}

/**
 * Which float tensors of a model are trained.
 *
 * Where the file holds PyTorch's signature, it decides. Else a float initializer of rank 1 or more (of any rank under a
 * PyTorch module's name) is a parameter unless kernels read it as running statistics or on the host (clip bounds,
 * scales), or its name is one that exporters give to constants and buffers. A file without such initializers holds
 * no weights: then every float graph input of fixed shape, the first input excepted, is one. Throws `not a number: …` for
 * weights that hold NaN.
 */
export function roles(model: Model): Roles {
  const source = new Map<string, string>();
  const buffers = new Set<string>();
  const onHost = new Set<string>();
  for (const node of model.nodes) {
    const first = node.inputs[0];
    const op = opOf(node);
    if (op.alias && first) source.set(node.outputs[0] as string, source.get(first) ?? first);
    node.inputs.forEach((name, slot) => {
      const origin = source.get(name) ?? name;
      if (op.buffers?.includes(slot)) buffers.add(origin);
      else if (op.hostInputs.includes(slot)) onHost.add(origin);
    });
  }
  const signature = signatureOf(model);
  const absent = [...signature].flatMap(([name, kind]) =>
    kind === "PARAMETER" && !model.initializers.has(name) ? [name] : [],
  );
  const isNamed = (name: string, rank: number): boolean => {
    const kind = signature.get(name);
    if (kind) return kind === "PARAMETER";
    // a weight that the exporter has transposed, under a name of its own
    if (absent.length && rank > 1 && /^val_\d+$/.test(name)) return true;
    const isModuleName = /^pytorch/.test(model.producer) && /^[A-Za-z_]\w*(\.\w+)*$/.test(name);
    return (rank > 0 || isModuleName) && !bufferNames.test(name);
  };
  const trainable = (name: string, type: { dtype: DType; rank: number }): boolean =>
    isFloat(type.dtype) && !buffers.has(name) && !onHost.has(name) && isNamed(name, type.rank);
  const parameters = new Set<string>();
  const notes: string[] = [];
  for (const [name, { dtype, shape }] of model.initializers)
    if (trainable(name, { dtype, rank: shape.length }) && elementCount(shape) > 0) parameters.add(name);
  const infinite: string[] = [];
  for (const name of [...parameters, ...buffers]) {
    const initializer = model.initializers.get(name);
    const found = initializer && notFinite(initializer);
    if (initializer && found?.nan)
      throw new Error(`not a number: ${found.nan} of ${elementCount(initializer.shape)} values of ${name} are NaN`);
    // no weight is infinite, masks are
    if (found?.infinite && parameters.delete(name)) infinite.push(name);
  }
  if (infinite.length)
    notes.push(`${infinite.length} initializers hold infinite values and count as constants: ${few(infinite)}`);
  if (parameters.size === 0) {
    const fixed = model.inputs
      .slice(1)
      .filter((i) => !model.initializers.has(i.name) && i.dims.every((dim) => typeof dim === "number"));
    for (const { name, dtype, dims } of fixed) if (trainable(name, { dtype, rank: dims.length })) parameters.add(name);
    for (const { name, dtype } of fixed) if (isFloat(dtype) && !parameters.has(name)) buffers.add(name);
    if (parameters.size)
      notes.push(
        `the file holds no weights: ${parameters.size} graph inputs are parameters, with seeded initial values`,
      );
  }
  for (const name of [...buffers]) {
    const initializer = model.initializers.get(name);
    if (!initializer && !model.inputs.some((i) => i.name === name)) buffers.delete(name);
  }
  if (absent.length)
    notes.push(
      `${absent.length} parameters of the PyTorch model are not in the file under their names (${few(absent)}): tied to others, or merged and transposed by the exporter's optimisation; ${exportPlainly}`,
    );
  const merged = mergedParameters(model, parameters);
  if (merged.length)
    notes.push(
      `${merged.length} parameters look merged: each holds one value and is read by several nodes (${few(merged)}); they are trained as one; ${exportPlainly}`,
    );
  return { parameters, buffers, notes };
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
