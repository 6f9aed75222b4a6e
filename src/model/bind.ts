import { Builder } from "../build/build.js";
import { expand } from "../build/expand.js";
import { NodeError } from "../graph/errors.js";
import { type Graph, int, type Node, prune, type Tensor, type TensorType, tensorBytes } from "../graph/graph.js";
import type { Value } from "../graph/values.js";
import { callOf, ownOpset } from "../ops/call.js";
import { checkSize, withoutIdle } from "../ops/check-node.js";
import { opOf, ops } from "../ops/index.js";
import { opsetRange } from "../ops/schema.js";
import { unsupported } from "../ops/unsupported.js";
import { withoutControlFlow } from "./branches.js";
import { boundShape, checkDims, type Dims, outputNote } from "./dimensions.js";
import { heldAnywhere } from "./held.js";
import { type Separated, separatedNotes, withSeparate } from "./merged.js";
import type { Model, ModelNode, ModelValue } from "./model.js";
import { neededPart } from "./needed.js";
import { originsOf } from "./origins.js";
import { type Roles, roles, type Untrained } from "./roles.js";
import { readsOf } from "./subgraphs.js";
import { wantedOutputs } from "./wanted.js";

export interface BindOptions {
  readonly dims?: Dims;
  /** Runs one node's native kernel on the host: how constants are folded. */
  readonly evaluate: (node: Node, inputs: readonly (Value | undefined)[]) => Value[];
  /** How batch norm runs, whatever the file says: with the batch's statistics, or with frozen ones. */
  readonly batchNorm?: BatchNormMode;
  /** Dropout is off, whatever the file says. */
  readonly dropsNothing?: boolean;
  /**
   * The tensor that is wanted: an output of the model, or any other tensor in it; null for the output that a loss is of
   * unless it names one (the first of floats). What it does not need is left out, whatever it is. Default: all outputs.
   */
  readonly output?: string | null;
}

/** Whether batch norm uses the batch's statistics (training) or the running ones. */
export type BatchNormMode = "training" | "inference";

/** What is known while a file's nodes are added one by one. */
interface Reading {
  readonly b: Builder;
  readonly evaluate: BindOptions["evaluate"];
  readonly opset: number;
  readonly outputs: ReadonlySet<string>;
  /** Names of the tensors that are trained: a Constant node may make one. */
  readonly parameters: ReadonlySet<string>;
  /** Tensors of the file that stand for another one: folded identities and normalised nodes. */
  readonly alias: Map<string, string>;
  /** State that a node has renewed: its newest value by the name of its first. */
  readonly renewed: Map<string, string>;
}

/** A constant larger than this is left to the graph: folding would only keep it in memory for the whole step. */
const foldLimitBytes = 64 * 2 ** 20;

/** A model's forward pass, what it leaves untrained, and what a user should know. */
export interface Bound {
  readonly graph: Graph;
  readonly untrained: readonly Untrained[];
  readonly separated: readonly Separated[];
  readonly notes: readonly string[];
}

/**
 * The model's forward pass as a graph: symbolic dimensions bound, branches taken, constants folded, every shape known.
 *
 * Tells parameters from constants: see `roles`. Throws `unbound dimension: …`, `unknown dimension: …`,
 * `unknown output: …`, `unknown op: …`, `shape mismatch: …`.
 */
export function bindModel(model: Model, options: BindOptions): Bound {
  checkDims(model, options.dims ?? {});
  const { names: wanted, notes } = wantedOutputs(model, options.output);
  const whole = withoutControlFlow(model, wanted, (part) => bindPart(part, model, options).graph);
  const needed = neededPart(whole, wanted);
  const bound = bindPart(needed, model, options);
  const read = new Set(whole.nodes.flatMap(readsOf));
  const made = new Set(needed.nodes.flatMap(({ outputs }) => outputs));
  const unneeded = heldAnywhere(whole).flatMap(({ name, shape }): Untrained[] => {
    if (needed.initializers.has(name) || made.has(name)) return [];
    return [{ name, shape, reason: read.has(name) ? "no wanted output depends on it" : "no node reads it" }];
  });
  return { ...bound, untrained: [...bound.untrained, ...unneeded], notes: [...notes, ...bound.notes] };
}

/** Binds a part of a model that holds no more branches; `model` is the whole one. */
function bindPart(given: Model, model: Model, options: BindOptions): Bound {
  const dims = options.dims ?? {};
  checkOpset(given);
  const { model: part, separated } = withSeparate(given);
  const found = roles(part);
  const modes = batchNormModes(part, options.batchNorm);
  const reading: Reading = {
    b: new Builder(),
    evaluate: options.evaluate,
    opset: part.opset,
    outputs: new Set(part.outputs.map((output) => output.name)),
    parameters: found.parameters,
    alias: new Map(),
    renewed: new Map(),
  };
  const { b, alias } = reading;
  b.reserve(part.nodes);
  declareResidents(b, part, found, (input) => boundShape(input, dims, model));
  for (const given of part.nodes) {
    const raw = options.dropsNothing ? withoutTraining(given) : given;
    try {
      if (raw.subgraphs && ops.has(raw.op)) throw new NodeError(`unsupported: subgraph of ${raw.op}`, raw);
      const inputs = raw.inputs.map((name) => alias.get(name) ?? name);
      const opset = raw.opset ?? part.opset;
      // those of ours are checked by nobody: an exported step has them as functions of its own
      if (raw.domain === "mutwo") throw unsupported(raw);
      const typed = ({ name, domain, op, outputs, attributes }: ModelNode): Node => {
        return { name, domain, op, inputs, outputs, attributes, phase: "forward" };
      };
      const node = typed(raw);
      b.infer(node, opset);
      const own = withoutIdle(modes.apply(raw));
      addNode(reading, own === raw ? node : typed(own), opset);
    } catch (error) {
      throw NodeError.of(error, raw);
    }
  }
  const outputs = part.outputs.map(({ name }) => name);
  const graph = prune({
    name: part.graphName,
    nodes: b.nodes,
    tensors: b.tensors,
    inputs: part.inputs.map((i) => i.name).filter((name) => b.type(name).category === "input"),
    outputs,
    state: [...reading.renewed].map(([before, after]) => ({ before, after })),
  });
  const origins = originsOf(part.nodes, graph);
  const unused = [...found.parameters].flatMap((name): Untrained[] => {
    const { shape } = b.type(name);
    return graph.tensors.has(name) ? [] : [{ name, shape, reason: "no output depends on it" }];
  });
  const notes = [
    ...found.notes,
    ...separatedNotes(separated),
    ...modes.notes,
    ...(part.opset > ownOpset ? [opsetNote(part.opset, graph)] : []),
    ...part.outputs.flatMap((output) => outputNote(output, b.type(output.name).shape, dims, model) ?? []),
  ];
  return {
    graph: origins ? { ...graph, origins } : graph,
    untrained: [...found.untrained, ...unused],
    separated,
    notes,
  };
}

/** Throws `unsupported: opset …` for a file whose standard ops are to be read by rules that mutwo does not know. */
function checkOpset({ opset, nodes }: Model): void {
  const { oldest, newest } = opsetRange;
  if (opset >= oldest && opset <= newest) return;
  if (nodes.some(({ domain, opset: own }) => domain === "" && own === undefined))
    throw new Error(`unsupported: opset ${opset} (export it at opset ${oldest} to ${newest})`);
}

/** Declares what no node makes: the file's inputs and initializers, each with what it is for. */
function declareResidents(
  b: Builder,
  model: Model,
  { parameters, buffers }: Roles,
  shapeOf: (input: ModelValue) => number[],
): void {
  const category = (name: string, otherwise: "input" | "constant"): Tensor["category"] =>
    parameters.has(name) ? "parameter" : buffers.has(name) ? "buffer" : otherwise;
  for (const input of model.inputs) {
    const { name, dtype } = input;
    if (model.initializers.has(name)) continue;
    const shape = shapeOf(input);
    checkSize(name, shape);
    b.declare({ name, dtype, shape, category: category(name, "input") });
  }
  for (const [name, { dtype, shape, data }] of model.initializers)
    b.declare({ name, dtype, shape, data, category: category(name, "constant") });
}

/** A node that is told whether it is in training, without that. */
function withoutTraining(node: ModelNode): ModelNode {
  const slot = ops.has(node.op) ? opOf(node).trainingInput : undefined;
  return slot === undefined ? node : { ...node, inputs: node.inputs.slice(0, slot) };
}

/** Adds one node of the file: normalised, folded to a constant if all its inputs are known, else as it is. */
function addNode(reading: Reading, node: Node, opset?: number): void {
  const { b, alias, evaluate } = reading;
  const op = opOf(node);
  const first = node.inputs[0];
  if (op.alias && first && !reading.outputs.has(node.outputs[0] as string)) {
    alias.set(node.outputs[0] as string, first);
    return;
  }
  // without an opset the node was made by a rule, in our own form already
  const normal = opset === undefined ? undefined : op.normalize && expand(b, node, op.normalize, opset);
  if (!normal) {
    const constants = folded(b, node, evaluate);
    if (constants) declareConstants(reading, node, constants);
    else addWithState(reading, node);
    return;
  }
  // the results take the names that the file gives them
  const names = new Map<string, string>();
  const made = new Set(normal.nodes.flatMap((inner) => inner.outputs));
  const copies: Node[] = [];
  node.outputs.forEach((wanted, i) => {
    const result = normal.results[i];
    if (!wanted || !result) return;
    const given = names.get(result) ?? result;
    if (made.has(result) && !names.has(result)) names.set(result, wanted);
    else if (!reading.outputs.has(wanted)) alias.set(wanted, given);
    // an output keeps its name
    else copies.push({ ...node, domain: "", op: "Identity", attributes: {}, inputs: [given], outputs: [wanted] });
  });
  const rename = (name: string): string => names.get(name) ?? name;
  for (const inner of normal.nodes) {
    for (const output of inner.outputs) b.tensors.delete(output);
    addNode(reading, { ...inner, inputs: inner.inputs.map(rename), outputs: inner.outputs.map(rename) });
  }
  for (const copy of copies) addNode(reading, copy);
}

/** Adds a node as it is; one that renews state reads what an earlier node has left of it (a layer used twice). */
function addWithState({ b, renewed }: Reading, node: Node): void {
  const state = opOf(node).state ?? [];
  const inputs = node.inputs.map((name, slot) =>
    state.some(([from]) => from === slot) ? (renewed.get(name) ?? name) : name,
  );
  b.add(node.op, inputs, node.attributes, { domain: node.domain, name: node.name, outputs: node.outputs });
  for (const output of node.outputs) if (output) checkSize(output, b.type(output).shape);
  for (const [from, to] of state)
    renewed.set(node.inputs[from] as string, b.node(node.name).outputs[to] || b.wantOutput(node.name, to));
}

/** The note on a file whose batch norm is in inference mode, where nobody asked for it. */
export const inferenceNote =
  "batch norm is in inference mode: running statistics are used and stay as they are (--batch-norm training)";

/** PyTorch's ops of batch norm in training, whose names its newer exporter gives to the nodes. */
const tracedInTraining = /_native_batch_norm_legit(?!_no_training)|_batch_norm_with_update/;

/**
 * The mode of each batch norm node: as asked, else as the file says. PyTorch's newer exporter writes inference mode for
 * what it traced in training; its node names tell.
 */
function batchNormModes(model: Model, asked: BatchNormMode | undefined) {
  const nodes = model.nodes.filter(({ op, domain }) => op === "BatchNormalization" && domain === "");
  const says = (node: ModelNode): BatchNormMode =>
    node.attributes.training_mode?.value === 1 || (model.opset < 14 && node.outputs.filter(Boolean).length > 1)
      ? "training"
      : "inference";
  const traced = (node: ModelNode): boolean => tracedInTraining.test(node.name);
  const mode = (node: ModelNode): BatchNormMode => asked ?? (traced(node) ? "training" : says(node));
  const changed = nodes.filter((node) => mode(node) !== says(node));
  const notes = [
    ...(changed.length && !asked
      ? [
          `the exporter wrote ${changed.length} batch norms in inference mode that it traced in training: they run in training`,
        ]
      : []),
    ...(nodes.some((node) => mode(node) === "inference") && !asked ? [inferenceNote] : []),
  ];
  const apply = (node: ModelNode): ModelNode => {
    if (!changed.includes(node)) return node;
    const training = mode(node) === "training";
    const attributes = { ...node.attributes, training_mode: int(training ? 1 : 0) };
    return { ...node, attributes, outputs: training ? node.outputs : node.outputs.slice(0, 1) };
  };
  return { notes, apply };
}

/** What becomes of a file of a later opset than ours. */
function opsetNote(opset: number, { nodes }: Graph): string {
  const newer = nodes.filter((node) => typeof opOf(node).since === "number" && opOf(node).types);
  const native = [...new Set(newer.map(({ op }) => op))];
  const kept = native.length ? `, but for ${native.join(", ")}, which runs by a kernel of its own` : "";
  return `opset ${opset} is converted down to ${ownOpset}${kept}`;
}

function declareConstants({ b, parameters }: Reading, node: Node, values: readonly Value[]): void {
  values.forEach(({ dtype, shape, data }, i) => {
    const name = node.outputs[i];
    if (name) b.declare({ name, dtype, shape, data, category: parameters.has(name) ? "parameter" : "constant" });
  });
}

/** The node's outputs if they can be known now; undefined if they depend on data. */
function folded(b: Builder, node: Node, evaluate: BindOptions["evaluate"]): readonly Value[] | undefined {
  const op = opOf(node);
  const isSmall = (): boolean => b.infer(node).reduce((sum, type) => sum + tensorBytes(type), 0) <= foldLimitBytes;
  if (op.value) return isSmall() ? op.value(callOf(node, b.tensors)) : undefined;
  const known = node.inputs.every((name) => !name || b.type(name).category === "constant");
  if (!known || op.random) return undefined;
  const types = b.infer(node);
  if (!isSmall()) return undefined;
  const values = node.inputs.map((name) => (name ? (b.type(name) as Tensor & { data: Uint8Array }) : undefined));
  if (op.view) return [{ ...(types[0] as TensorType), data: values[0]?.data as Uint8Array }];
  return evaluate(node, values);
}
