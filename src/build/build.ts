import { NodeError } from "../graph/errors.js";
import type { Attributes, Category, DType, Graph, Node, Phase, Tensor, TensorType } from "../graph/graph.js";
import { addTo } from "../graph/lists.js";
import { callOf } from "../ops/call.js";
import type { AddOptions, Emit } from "../ops/emit.js";
import { opOf } from "../ops/index.js";
import { checkedTypes } from "./checked-types.js";
import { Constants } from "./constants.js";
import { FreeNames } from "./free-names.js";

/** More nodes than any step has: loops that are written out can otherwise ask for any number. */
const maxNodes = 500_000;

/** Makes a graph node by node: names, infers and checks the type of every output as the node is added. */
export class Builder implements Emit {
  readonly tensors = new Map<string, Tensor>();
  readonly nodes: Node[] = [];
  /** Phase of the nodes added next. */
  phase: Phase = "forward";
  /** Category of the tensors made next. */
  category: Category = "activation";
  /** Prefix of the names made next, usually the forward node's name. */
  scope = "";
  private readonly names = new FreeNames();
  private readonly constants = new Constants(
    (wish) => this.fresh(wish),
    (tensor) => void this.tensors.set(tensor.name, tensor),
  );
  private readonly positions = new Map<string, number>();
  private readonly makers = new Map<string, number>();
  /** Positions of the nodes that read a tensor, in order; a node that reads it twice stands there twice. */
  private readonly readers = new Map<string, number[]>();
  /** Names of nodes that are copies of this builder's own. */
  private readonly copied = new WeakSet<readonly string[]>();

  /** Starts from a graph's tensors, and from its nodes unless `withNodes` is false. */
  constructor(from?: Pick<Graph, "tensors" | "nodes">, withNodes = true) {
    if (!from) return;
    from.tensors.forEach((tensor, name) => {
      this.tensors.set(name, tensor);
      this.names.take(name);
    });
    for (const node of from.nodes) {
      this.names.take(node.name);
      if (withNodes) this.append(node);
    }
  }

  /** Keeps the names of nodes and tensors that are still to be added from what is named freely before. */
  reserve(nodes: readonly Pick<Node, "name" | "outputs">[]): void {
    this.names.reserve(nodes);
  }

  /** A name that is not taken yet; takes it. */
  fresh(wish: string): string {
    return this.names.fresh(wish);
  }

  /** Type of a tensor; throws if there is none of that name. */
  type(name: string): Tensor {
    const tensor = this.tensors.get(name);
    if (!tensor) throw new Error(`unknown tensor: ${name}`);
    return tensor;
  }

  /** Declares a tensor that no node makes. */
  declare(tensor: Tensor): string {
    if (this.tensors.has(tensor.name)) throw new Error(`duplicate tensor: ${tensor.name}`);
    this.names.take(tensor.name);
    this.tensors.set(tensor.name, tensor);
    return tensor.name;
  }

  /** Replaces what is known of a tensor (its category, its place in a flat buffer). */
  redeclare(tensor: Tensor): void {
    this.type(tensor.name);
    this.tensors.set(tensor.name, tensor);
  }

  /**
   * Name of a constant; equal constants share one tensor. `values` may be one number for every element. Throws
   * `constant too large: …`.
   */
  constant(dtype: DType, shape: readonly number[], values: number | readonly number[]): string {
    return this.constants.name(dtype, shape, values);
  }

  /** A float constant of rank 0 in the element type of another tensor. */
  scalar(value: number, like: string): string {
    return this.constant(this.type(like).dtype, [], value);
  }

  /** An int64 vector, the form in which ONNX takes axes and shapes. */
  vector(values: readonly number[]): string {
    return this.constant("int64", [values.length], values);
  }

  /**
   * Adds a node and returns the names of its outputs. Throws if the op is unknown or the shapes do not fit, and
   * `duplicate tensor: …` for an output that there is already.
   */
  add(
    op: string,
    inputs: readonly (string | undefined)[],
    attributes: Attributes = {},
    options: AddOptions = {},
  ): string[] {
    const domain = options.domain ?? "";
    const wish = options.name ?? (this.scope ? `${this.scope}/${op}` : op);
    const name = this.names.ofNode(wish, options.name !== undefined);
    const outputs =
      options.outputs ??
      Array.from({ length: options.count ?? 1 }, (_, i) => this.fresh(i ? `${name}:${i}` : `${name}:0`));
    const node: Node = {
      name,
      domain,
      op,
      inputs: inputs.map((input) => input ?? ""),
      outputs,
      attributes,
      phase: this.phase,
    };
    const types = this.infer(node);
    this.refuseSecond(node);
    outputs.forEach((output, i) => {
      if (!output) return;
      const type: TensorType | undefined = types[i];
      if (!type) throw new NodeError(`${op} has no output ${i}`, node);
      if (options.outputs) this.names.take(output);
      const known = this.tensors.get(output);
      const category = options.category ?? known?.category ?? this.category;
      const { dtype, shape } = type;
      this.tensors.set(output, { ...known, name: output, dtype, shape, category });
    });
    this.push(node);
    return [...outputs];
  }

  /**
   * Types of a node's outputs. With the opset of the model file that the node stands in, all that is known of its op is
   * checked first. Throws what the op's record and the checks do, with the node's op, inputs and shapes behind it.
   */
  infer(node: Node, fileOpset?: number): readonly TensorType[] {
    return checkedTypes(node, this.tensors, fileOpset);
  }

  /** Runs some work under other settings and takes out the nodes that it adds; their tensors stay declared. */
  apart<T>(settings: Pick<Builder, "phase" | "category" | "scope">, work: () => T): { result: T; nodes: Node[] } {
    const { phase, category, scope } = this;
    const start = this.nodes.length;
    Object.assign(this, settings);
    try {
      const result = work();
      const nodes = this.nodes.splice(start);
      for (const { name, inputs, outputs } of nodes) {
        this.names.release(name);
        this.positions.delete(name);
        for (const output of outputs) this.makers.delete(output);
        for (const input of inputs) {
          const list = this.readers.get(input);
          while (list && (list.at(-1) ?? -1) >= start) list.pop();
        }
      }
      return { result, nodes };
    } finally {
      Object.assign(this, { phase, category, scope });
    }
  }

  /** Throws for outputs that another node makes, or that are given. */
  private refuseSecond(node: Node): void {
    const seen = node.outputs.length > 1 ? new Set<string>() : undefined;
    for (const output of node.outputs) {
      if (!output) continue;
      if (this.isGiven(output) || seen?.has(output)) throw new NodeError(`duplicate tensor: ${output}`, node);
      seen?.add(output);
    }
  }

  /** Whether a node makes a tensor already, or none ever does. */
  private isGiven(name: string): boolean {
    const known = this.tensors.get(name);
    return known !== undefined && (known.data !== undefined || known.category === "input" || this.makers.has(name));
  }

  /**
   * Adds a node whose outputs are declared already. Throws `duplicate tensor: …` for one that there is already, and
   * `graph too large: …`.
   */
  append(node: Node): void {
    this.refuseSecond(node);
    this.names.take(node.name);
    this.push(node);
  }

  private push(node: Node): void {
    if (this.nodes.length >= maxNodes) throw new NodeError(`graph too large: more than ${maxNodes} nodes`, node);
    this.positions.set(node.name, this.nodes.length);
    for (const input of node.inputs) if (input) addTo(this.readers, input, this.nodes.length);
    for (const output of node.outputs) if (output) this.makers.set(output, this.nodes.length);
    this.nodes.push(node);
  }

  /** The node of that name as it is now. Throws `unknown node`. */
  node(name: string): Node {
    const node = this.nodes[this.positions.get(name) ?? -1];
    if (!node) throw new Error(`unknown node: ${name}`);
    return node;
  }

  /** The node that makes a tensor; undefined if none does. */
  producer(tensor: string): Node | undefined {
    return this.nodes[this.makers.get(tensor) ?? -1];
  }

  /**
   * Gives the storage of a tensor its place in a flat buffer: the tensor's own, or that of the tensor it is a view of.
   * Answers whether it could: not if no node makes it or if it has a place already.
   */
  placeWithin(name: string, within: NonNullable<Tensor["within"]>): boolean {
    let origin = name;
    let producer = this.producer(origin);
    while (producer && opOf(producer).view) {
      origin = producer.inputs[0] as string;
      producer = this.producer(origin);
    }
    if (!producer) return false;
    const tensor = this.type(origin);
    if (tensor.within || tensor.category === "activation") return false;
    this.redeclare({ ...tensor, category: "gradient", within });
    return true;
  }

  /** Gives a tensor that a node makes another name, everywhere. */
  rename(from: string, to: string): void {
    const made = this.makers.get(from);
    if (made === undefined) throw new Error(`no node makes tensor: ${from}`);
    if (this.isGiven(to)) throw new Error(`duplicate tensor: ${to}`);
    const readers = this.readers.get(from) ?? [];
    for (const i of new Set([made, ...readers])) {
      const node = this.nodes[i] as Node;
      this.nodes[i] = {
        ...node,
        inputs: this.swapped(node.inputs, from, to),
        outputs: this.swapped(node.outputs, from, to),
      };
    }
    this.readers.delete(from);
    this.readers.set(to, readers);
    this.tensors.set(to, { ...this.type(from), name: to });
    this.tensors.delete(from);
    this.makers.set(to, made);
    this.makers.delete(from);
    this.names.take(to);
  }

  /** The names with one instead of another, in a copy that later renames write into: a split has any number of them. */
  private swapped(names: readonly string[], from: string, to: string): readonly string[] {
    let at = names.indexOf(from);
    if (at < 0) return names;
    const copy = this.copied.has(names) ? (names as string[]) : [...names];
    this.copied.add(copy);
    for (; at >= 0; at = copy.indexOf(from, at + 1)) copy[at] = to;
    return copy;
  }

  /** Name of a node's optional output, which the node makes from now on. Throws if there is no such node or output. */
  wantOutput(nodeName: string, index: number): string {
    const node = this.node(nodeName);
    const known = node.outputs[index];
    if (known) return known;
    const outputs = Array.from({ length: Math.max(node.outputs.length, index + 1) }, (_, i) => node.outputs[i] ?? "");
    const name = this.fresh(`${nodeName}:${index}`);
    outputs[index] = name;
    const wider = { ...node, outputs };
    const type = opOf(wider).infer(callOf(wider, this.tensors))[index];
    if (!type) throw new NodeError(`${node.op} has no output ${index}`, node);
    this.nodes[this.positions.get(nodeName) as number] = wider;
    this.tensors.set(name, { name, dtype: type.dtype, shape: type.shape, category: "activation" });
    this.makers.set(name, this.positions.get(nodeName) as number);
    return name;
  }

  /** Adds a node with one output and returns its name. */
  op(
    op: string,
    inputs: readonly (string | undefined)[],
    attributes: Attributes = {},
    options: AddOptions = {},
  ): string {
    return this.add(op, inputs, attributes, options)[0] as string;
  }
}
