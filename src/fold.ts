import { Builder } from "./build.js";
import { expand } from "./expand.js";
import {
  type DType,
  elementCount,
  type Graph,
  type Node,
  prune,
  type Tensor,
  type TensorType,
  tensorBytes,
} from "./graph.js";
import type { Model } from "./onnx.js";
import { callOf, ownOpset } from "./ops/call.js";
import { opOf } from "./ops/index.js";
import type { Value } from "./runtime/runtime.js";

export interface BindOptions {
  /** Size of each symbolic dimension: `{ batch: 32 }`. */
  readonly dims?: Readonly<Record<string, number>>;
  /** Runs one node's native kernel on the host: how constants are folded. */
  readonly evaluate: (node: Node, inputs: readonly (Value | undefined)[]) => Value[];
}

/** A constant larger than this is left to the graph: folding would only keep it in memory for the whole step. */
const foldLimitBytes = 64 * 2 ** 20;

const floats: readonly DType[] = ["float32", "float64", "float16", "bfloat16"];

/** Names under which exporters and models keep float constants and buffers that are not trained. */
const bufferNames =
  /(^|[./_])(running_mean|running_var|num_batches_tracked|inv_freq|attn_mask|causal_mask|masked_bias|position_ids|relative_coords_table|lifted_tensor\w*|val_\d+|const\w*_\d+|scalar_tensor\w*)$/i;

/**
 * The model's forward pass as a graph: symbolic dimensions bound, constants folded, every shape known.
 *
 * Tells parameters from constants: see `roles`. Throws `unbound dimension: …`, `unknown dimension: …`, `unknown op: …`,
 * `shape mismatch: …`, and for an output whose shape contradicts what the file declares.
 */
export function bindModel(model: Model, options: BindOptions): { graph: Graph; notes: string[] } {
  const dims = options.dims ?? {};
  checkDims(model, dims);
  const b = new Builder();
  const { parameters, buffers, notes } = roles(model);
  const category = (name: string): Tensor["category"] =>
    parameters.has(name) ? "parameter" : buffers.has(name) ? "buffer" : "constant";
  for (const input of model.inputs) {
    if (model.initializers.has(input.name)) continue;
    const shape = input.dims.map((dim, axis) => bindDim(input.name, axis, dim, dims));
    const role = parameters.has(input.name) || buffers.has(input.name) ? category(input.name) : "input";
    b.declare({ name: input.name, dtype: input.dtype, shape, category: role });
  }
  for (const [name, { dtype, shape, data }] of model.initializers)
    b.declare({ name, dtype, shape, data, category: category(name) });

  /** Tensors of the file that stand for another one: folded identities and normalised nodes. */
  const alias = new Map<string, string>();
  const outputs = new Set(model.outputs.map((output) => output.name));
  for (const raw of model.nodes) {
    try {
      addNode(
        b,
        { ...raw, inputs: raw.inputs.map((name) => alias.get(name) ?? name), phase: "forward" },
        alias,
        outputs,
        options.evaluate,
        model.opset || ownOpset,
      );
    } catch (error) {
      const message = (error as Error).message;
      throw new Error(message.includes("(node ") ? message : `${message} (node ${raw.name})`, { cause: error });
    }
  }

  const outputNames = model.outputs.map((output) => alias.get(output.name) ?? output.name);
  model.outputs.forEach((output, i) => {
    const { shape } = b.type(outputNames[i] as string);
    const declared = output.dims.map((dim) => (typeof dim === "string" ? dims[dim] : dim) ?? null);
    const fits = declared.length === shape.length && declared.every((dim, axis) => dim === null || dim === shape[axis]);
    if (output.dims.length > 0 && !fits)
      throw new Error(`contradicting dimension: output ${output.name} is [${shape}], the model says [${output.dims}]`);
  });

  const state = b.nodes.flatMap((node) =>
    (opOf(node).state ?? []).map(([from, to]) => ({
      before: node.inputs[from] as string,
      after: b.node(node.name).outputs[to] || b.wantOutput(node.name, to),
    })),
  );
  const graph: Graph = {
    name: model.graphName,
    nodes: b.nodes,
    tensors: b.tensors,
    inputs: model.inputs.map((i) => i.name).filter((name) => b.type(name).category === "input"),
    outputs: outputNames,
    state,
  };
  const pruned = prune(graph);
  const unused = [...parameters].filter((name) => !pruned.tensors.has(name));
  if (unused.length)
    notes.push(`${unused.length} parameters are not used by any node: ${unused.slice(0, 3).join(", ")}`);
  return { graph: pruned, notes };
}

/** Adds one node of the file: normalised, folded to a constant if all its inputs are known, else as it is. */
function addNode(
  b: Builder,
  node: Node,
  alias: Map<string, string>,
  graphOutputs: ReadonlySet<string>,
  evaluate: BindOptions["evaluate"],
  opset?: number,
): void {
  const op = opOf(node);
  const first = node.inputs[0];
  if (node.op === "Identity" && first && !graphOutputs.has(node.outputs[0] as string)) {
    alias.set(node.outputs[0] as string, first);
    return;
  }
  // without an opset the node was made by a rule, in our own form already
  const normal = opset === undefined ? undefined : op.normalize && expand(b, node, op.normalize, opset);
  if (!normal) {
    const constants = folded(b, node, evaluate);
    if (constants) declareConstants(b, node, constants);
    else b.add(node.op, node.inputs, node.attributes, { domain: node.domain, name: node.name, outputs: node.outputs });
    return;
  }
  // the results take the names that the file gives them
  const names = new Map<string, string>();
  const made = new Set(normal.nodes.flatMap((inner) => inner.outputs));
  node.outputs.forEach((wanted, i) => {
    const result = normal.results[i];
    if (!wanted || !result) return;
    if (made.has(result) && !names.has(result)) names.set(result, wanted);
    else alias.set(wanted, names.get(result) ?? result);
  });
  const rename = (name: string): string => names.get(name) ?? name;
  for (const inner of normal.nodes) {
    for (const output of inner.outputs) b.tensors.delete(output);
    addNode(
      b,
      { ...inner, inputs: inner.inputs.map(rename), outputs: inner.outputs.map(rename) },
      alias,
      graphOutputs,
      evaluate,
    );
  }
}

function declareConstants(b: Builder, node: Node, values: readonly Value[]): void {
  values.forEach(({ dtype, shape, data }, i) => {
    const name = node.outputs[i];
    if (name) b.declare({ name, dtype, shape, data, category: "constant" });
  });
}

/** The node's outputs if they can be known now; undefined if they depend on data. */
function folded(b: Builder, node: Node, evaluate: BindOptions["evaluate"]): readonly Value[] | undefined {
  const op = opOf(node);
  const call = callOf(node, b.tensors);
  if (op.value) return op.value(call);
  const known = node.inputs.every((name) => !name || b.type(name).category === "constant");
  if (!known || op.random) return undefined;
  const types: readonly TensorType[] = op.infer(call);
  if (types.reduce((sum, type) => sum + tensorBytes(type), 0) > foldLimitBytes) return undefined;
  const values = node.inputs.map((name) => (name ? (b.type(name) as Tensor & { data: Uint8Array }) : undefined));
  if (op.view) return [{ ...(types[0] as TensorType), data: values[0]?.data as Uint8Array }];
  return evaluate(node, values);
}

function checkDims(model: Model, dims: Readonly<Record<string, number>>): void {
  const symbols = new Set<string>();
  for (const input of model.inputs)
    input.dims.forEach((dim, axis) => {
      if (typeof dim === "string") symbols.add(dim);
      else if (dim === null) symbols.add(`${input.name}.${axis}`);
    });
  for (const [name, size] of Object.entries(dims)) {
    if (!symbols.has(name))
      throw new Error(
        `unknown dimension: ${name} (${symbols.size ? `the model has ${[...symbols].join(", ")}` : "all of the model's dimensions are fixed"})`,
      );
    if (!Number.isSafeInteger(size) || size < 1)
      throw new Error(`dimension is not a positive integer: ${name}=${size}`);
  }
}

function bindDim(
  input: string,
  axis: number,
  dim: number | string | null,
  dims: Readonly<Record<string, number>>,
): number {
  if (typeof dim === "number") return dim;
  const symbol = dim ?? `${input}.${axis}`;
  const size = dims[symbol];
  if (size === undefined) throw new Error(`unbound dimension: ${symbol} (pass --dim ${symbol}=N)`);
  return size;
}

/**
 * Which float tensors of a model are trained.
 *
 * A float initializer of rank 1 or more is a parameter unless kernels read it as running statistics or on the host
 * (clip bounds, scales), or its name is one that exporters give to constants and buffers. A file without such
 * initializers holds no weights: then every float graph input of fixed shape, the first input excepted, is one.
 */
function roles(model: Model): { parameters: Set<string>; buffers: Set<string>; notes: string[] } {
  const source = new Map<string, string>();
  const buffers = new Set<string>();
  const onHost = new Set<string>();
  for (const node of model.nodes) {
    const first = node.inputs[0];
    if (node.op === "Identity" && first) source.set(node.outputs[0] as string, source.get(first) ?? first);
    const op = opOf(node);
    node.inputs.forEach((name, slot) => {
      const origin = source.get(name) ?? name;
      if (op.buffers?.includes(slot)) buffers.add(origin);
      else if (op.hostInputs.includes(slot)) onHost.add(origin);
    });
  }
  const isFloat = (dtype: DType): boolean => floats.includes(dtype);
  const trainable = (name: string, type: { dtype: DType; rank: number }): boolean =>
    isFloat(type.dtype) && type.rank > 0 && !buffers.has(name) && !onHost.has(name) && !bufferNames.test(name);
  const parameters = new Set<string>();
  const notes: string[] = [];
  for (const [name, { dtype, shape }] of model.initializers)
    if (trainable(name, { dtype, rank: shape.length }) && elementCount(shape) > 0) parameters.add(name);
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
  if (model.nodes.some((n) => n.op === "BatchNormalization" && n.attributes.training_mode?.value !== 1))
    notes.push("batch norm is in inference mode: running statistics are used and stay as they are");
  return { parameters, buffers, notes };
}
