import { type Graph, type Node, prune, type Tensor, type TensorType, tensorBytes, tensorOf } from "../graph/graph.js";
import { gradientOf, nextName, originalName } from "../graph/names.js";
import type { Model, ModelNode, ModelValue } from "../model/model.js";
import { callOf, ownOpset } from "../ops/call.js";
import { checkNode } from "../ops/check-node.js";
import { opOf } from "../ops/index.js";
import { lower } from "../step/lower.js";
import { holdBack } from "./barrier.js";
import { separate } from "./separate.js";

/** The IR version of the time of opset 18. */
const irVersion = 8;

/** What else goes into the file, or stays out of it. */
export interface ExportOptions {
  /**
   * Values of parameters, buffers and optimizer state, beside those that the graph itself holds; optimizer state starts
   * at 0. What has a value is an initializer and a graph input, what has none a graph input only.
   */
  readonly values?: ReadonlyMap<string, Uint8Array>;
  /** All state is to be fed: graph inputs without initializers. */
  readonly feedState?: boolean;
  /**
   * Leave the shapes of values between nodes out, and unknown to ONNX Runtime: see `holdBack`. It then frees every value
   * at its last use, which takes less memory and more time for allocating.
   */
  readonly hideShapes?: boolean;
  /**
   * Keep ops of ONNX Runtime's own (FusedMatMul) where the step has them: there it gives the same bits as here on a CPU,
   * while other readers of ONNX may lack them. Default: they are written in standard ops.
   */
  readonly exact?: boolean;
  /** Program that writes the file: name and version. */
  readonly producer?: string;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** The names under which an exported step takes and gives what it works on. */
export interface StepNames {
  /** The model's inputs and the target: given anew for each step. */
  readonly inputs: readonly string[];
  readonly loss: string;
  /** Of a joint step, whose `loss` is their sum, the loss of each model by name; else empty. */
  readonly losses: ReadonlyMap<string, string>;
  /** Gradient of each parameter: `NAME.grad`, numbered where the model has a tensor of that name. */
  readonly gradients: ReadonlyMap<string, string>;
  /** What takes the place of each state in the next step: `NAME.next` of `NAME`. */
  readonly next: ReadonlyMap<string, string>;
  /** First values of the state, by name, as far as they are known. */
  readonly values: ReadonlyMap<string, TensorType & { readonly data: Uint8Array }>;
}

/** Whether a standard op of opset 18, which every ONNX Runtime has, is what the node says. */
const isStandard = (node: Node): boolean => node.domain === "" && !opOf(node).since;

/** Every node in standard ops where it can be written in them; `exact`: those of ONNX Runtime's own stay. */
function standardised(graph: Graph, exact = false): Graph {
  const kept = (node: Node): boolean => node.domain !== "mutwo" && !opOf(node).since;
  if (exact) return lower(graph, (node) => kept(node) || opOf(node).kernel !== undefined);
  try {
    return lower(graph, isStandard);
  } catch {
    // an op of ONNX Runtime's own that cannot be written in standard ones stays as it is
    return lower(graph, kept);
  }
}

/**
 * The nodes with those that nothing reads at the end, first the one whose operands the backward phase makes last.
 *
 * ONNX Runtime orders nodes by itself: it walks back from such ends, the last one in the file first. In this order a
 * filter's gradient is made while its operands are there anyway.
 */
function endsLast(nodes: readonly Node[]): Node[] {
  const read = new Set(nodes.flatMap((node) => node.inputs));
  /** For each tensor, the rank of the last node before the update that it depends on. */
  const ready = new Map<string, number>();
  const ends: { readonly node: Node; readonly rank: number }[] = [];
  const others = nodes.filter((node, index) => {
    const own = node.phase === "update" ? -1 : index;
    const rank = node.inputs.reduce((most, name) => Math.max(most, ready.get(name) ?? -1), own);
    for (const name of node.outputs) ready.set(name, rank);
    const isEnd = node.outputs.every((name) => !read.has(name));
    if (isEnd) ends.push({ node, rank });
    return !isEnd;
  });
  return [...others, ...ends.sort((a, z) => z.rank - a.rank).map(({ node }) => node)];
}

/** The nodes with names of their own: further ones of the same name are numbered. */
function uniquelyNamed(nodes: readonly Node[]): Node[] {
  const taken = new Set(nodes.map(({ name }) => name));
  const seen = new Set<string>();
  return nodes.map((node) => {
    let name = node.name;
    for (let i = 2; seen.has(name); i++) if (!taken.has(`${node.name}_${i}`)) name = `${node.name}_${i}`;
    seen.add(name);
    taken.add(name);
    return name === node.name ? node : { ...node, name };
  });
}

/** A node as the file has it: under the name that ONNX Runtime has for its kernel, where that is not its own. */
function asKernel(node: Node): ModelNode {
  const { kernel, defaults } = opOf(node);
  const { name, inputs, outputs } = node;
  if (!kernel) return { name, domain: node.domain, op: node.op, inputs, outputs, attributes: node.attributes };
  const { domain, op, without = [] } = kernel;
  const all = Object.entries({ ...defaults, ...node.attributes });
  const attributes = Object.fromEntries(all.filter(([key]) => !without.includes(key)));
  return { name, domain, op, inputs, outputs, attributes };
}

/** Without the absent inputs or outputs at the end. */
const trimmed = (names: readonly string[]): readonly string[] =>
  names.slice(0, names.findLastIndex((name) => name !== "") + 1);

const typeOf = ({ name, dtype, shape }: Tensor): ModelValue => ({ name, dtype, dims: shape });

/**
 * A training step, planned or not, as a plain ONNX model of opset 18.
 *
 * Inputs: the model's inputs, the target, and every parameter, buffer and optimizer state under its own name
 * (`NAME.velocity`, `NAME.m`, `NAME.v` beside parameter `NAME`). Outputs: the loss, of a joint step each model's too, `NAME.grad` for each trained
 * parameter, `NAME.next` for each state. Recomputed blocks stay where the plan has them by barriers. Throws `a swap cannot
 * be exported: …`: plain ONNX has no memory but the device's.
 */
export function exportStep(graph: Graph, options: ExportOptions = {}): { model: Model; names: StepNames } {
  if (!graph.loss) throw new Error(`not a training step: ${graph.name}`);
  const swap = graph.nodes.find((node) => opOf(node).swap);
  if (swap) throw new Error(`a swap cannot be exported: ${originalName(swap.name)} (plan again with --no-swap)`);
  const trained = [...graph.tensors.values()].filter((t) => t.category === "parameter" && t.within).map((t) => t.name);
  const flat = standardised(graph, options.exact);
  const gradients = new Map(
    trained.flatMap((name): [string, string][] => {
      const gradient = gradientOf(flat, name);
      return gradient === undefined ? [] : [[name, gradient]];
    }),
  );
  const apart = separate(flat);
  const losses = new Map((graph.trials ?? []).map(({ name, loss }) => [name, loss]));
  const kept = new Set([graph.loss, ...losses.values(), ...gradients.values()]);
  const whole = prune({ ...apart, outputs: [...kept] });
  const held = holdBack(whole, options.hideShapes);

  const made = new Set(held.nodes.flatMap((node) => node.outputs));
  const { names: next, nodes: copies } = nextNames(held, kept, made);
  const renamed = new Map([...next.values()].flatMap(({ from, to, isCopy }) => (isCopy ? [] : [[from, to] as const])));
  const rename = (name: string): string => renamed.get(name) ?? name;
  const named = new Map([...held.tensors].map(([name, tensor]) => [rename(name), tensor]));
  const ours = uniquelyNamed(endsLast([...held.nodes, ...copies])).map(
    (node): Node => ({
      ...node,
      inputs: trimmed(node.inputs).map(rename),
      outputs: trimmed(node.outputs).map(rename),
      phase: "update",
    }),
  );
  // what any reader of opset 18 would refuse is not written
  for (const node of ours) checkNode(callOf(node, named), opOf(node), true);
  const nodes = ours.map(asKernel);
  const domains = new Set(nodes.map(({ domain }) => domain).filter(Boolean));

  const residents = [...held.tensors.values()].filter(({ name }) => !made.has(name));
  const states = residents.filter(({ name, category }) => category !== "constant" && !held.inputs.includes(name));
  const values = new Map(
    states.flatMap((tensor): [string, TensorType & { data: Uint8Array }][] => {
      const zeros = (): Uint8Array => new Uint8Array(tensorBytes(tensor));
      const known = options.values?.get(tensor.name) ?? tensor.data;
      const data = known ?? (tensor.category === "optimizer state" ? zeros() : undefined);
      return data ? [[tensor.name, { dtype: tensor.dtype, shape: tensor.shape, data }]] : [];
    }),
  );
  const constants = residents.flatMap(
    ({ name, category, dtype, shape, data }): [string, TensorType & { data: Uint8Array }][] =>
      category === "constant" && data ? [[name, { dtype, shape, data }]] : [],
  );
  const nextOf = [...next].map(([before, { to }]): ModelValue => ({ ...typeOf(tensorOf(held, before)), name: to }));
  const outputs = [...held.outputs.map((name) => typeOf(tensorOf(held, name))), ...nextOf];
  const isOutput = new Set(outputs.map(({ name }) => name));
  const model: Model = {
    irVersion,
    opset: ownOpset,
    opsets: { "": ownOpset, ...Object.fromEntries([...domains].map((domain) => [domain, 1])) },
    producer: options.producer ?? "mutwo",
    graphName: graph.name,
    inputs: [...held.inputs.map((name) => tensorOf(held, name)), ...states].map(typeOf),
    outputs,
    initializers: new Map([...constants, ...(options.feedState ? [] : values)]),
    nodes,
    valueInfo: (options.hideShapes ? [] : nodes).flatMap((node) =>
      node.outputs.filter((name) => name !== "" && !isOutput.has(name)).map((name) => typeOf(tensorOf(held, name))),
    ),
    metadata: options.metadata ?? {},
    graphMetadata: {},
  };
  const names: StepNames = {
    inputs: held.inputs,
    loss: graph.loss,
    losses,
    gradients,
    next: new Map([...next].map(([before, { to }]) => [before, to])),
    values,
  };
  return { model, names };
}

interface Next {
  readonly from: string;
  readonly to: string;
  /** The output is a copy: what it would be renamed from is an output of its own, or nothing makes it. */
  readonly isCopy: boolean;
}

/** `NAME.next` for each state, numbered where that name is taken. */
function nextNames(graph: Graph, fixed: ReadonlySet<string>, made: ReadonlySet<string>) {
  const names = new Map<string, Next>();
  const nodes: Node[] = [];
  const taken = new Set(fixed);
  const given = new Set<string>();
  for (const { before, after } of graph.state) {
    let to = nextName(before);
    for (let i = 2; given.has(to) || (to !== after && graph.tensors.has(to)); i++) to = `${nextName(before)}_${i}`;
    given.add(to);
    const isCopy = taken.has(after) || !made.has(after);
    taken.add(after);
    names.set(before, { from: after, to, isCopy });
    if (isCopy)
      nodes.push({
        name: `${to}/Identity`,
        domain: "",
        op: "Identity",
        inputs: [after],
        outputs: [to],
        attributes: {},
        phase: "update",
      });
  }
  return { names, nodes };
}
