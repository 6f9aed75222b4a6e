import { Builder } from "./build.js";
import { expand } from "./expand.js";
import { type Graph, type Node, prune, type Tensor, type TensorType, tensorBytes } from "./graph.js";
import type { Model } from "./onnx.js";
import { callOf } from "./ops/call.js";
import { opOf } from "./ops/index.js";
import { roles } from "./roles.js";
import type { Value } from "./runtime/runtime.js";

export interface BindOptions {
  /** Size of each symbolic dimension: `{ batch: 32 }`. */
  readonly dims?: Readonly<Record<string, number>>;
  /** Runs one node's native kernel on the host: how constants are folded. */
  readonly evaluate: (node: Node, inputs: readonly (Value | undefined)[]) => Value[];
}

/** A constant larger than this is left to the graph: folding would only keep it in memory for the whole step. */
const foldLimitBytes = 64 * 2 ** 20;

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
        model.opset,
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
  const normal = op.normalize && expand(b, node, op.normalize, opset);
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
  const types = b.infer(node);
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
