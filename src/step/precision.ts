import { Builder } from "../build/build.js";
import {
  type Attribute,
  consumers,
  type DType,
  elementCount,
  type Graph,
  int,
  type Node,
  onnxNumbers,
  prune,
  type Tensor,
} from "../graph/graph.js";
import { bytesOf, valuesOf } from "../graph/values.js";
import { opOf } from "../ops/index.js";
import { cast } from "../ops/shapes.js";
import { type LossScale, lossScaleOf } from "./loss-scale.js";
import { type Named, numericSettings, parseNamed, takeSetting } from "./settings.js";

/** A forward graph in the precision that was asked for, and what its loss is to be multiplied by. */
interface Precise {
  readonly graph: Graph;
  readonly lossScale: LossScale;
}

/** A precision: reads its settings, which can be wrong without any model, and rebuilds a graph. */
interface Precision {
  readonly check: (named: Named) => void;
  readonly apply: (graph: Graph, named: Named) => Precise;
}

/** Rebuilds a graph node by node, with types inferred anew. */
function rebuild(graph: Graph, start: Graph, add: (b: Builder, node: Node) => void): Graph {
  const made = new Set(graph.nodes.flatMap((node) => node.outputs));
  const given = new Map([...start.tensors].filter(([name]) => !made.has(name)));
  const b = new Builder({ tensors: given, nodes: [] });
  b.reserve(graph.nodes);
  for (const node of graph.nodes) add(b, node);
  // categories are the graph's, whatever the new nodes are
  for (const [name, { category }] of graph.tensors) {
    const tensor = b.tensors.get(name);
    if (tensor && tensor.category !== category) b.redeclare({ ...tensor, category });
  }
  return { ...graph, nodes: b.nodes, tensors: b.tensors };
}

const addAs = (b: Builder, node: Node, inputs = node.inputs, attributes = node.attributes): string[] =>
  b.add(node.op, inputs, attributes, { domain: node.domain, name: node.name, outputs: node.outputs });

/** The settings of `mixed`. Throws for an unknown one and for a wrong value. */
function mixedSettings(named: Named): { type: "float16" | "bfloat16"; lossScale: LossScale } {
  const { value: type = "float16", rest } = takeSetting(named, "type");
  if (type !== "float16" && type !== "bfloat16")
    throw new Error(`type of mixed precision is not float16 or bfloat16: ${type}`);
  // bfloat16 has the range of float32
  return { type, lossScale: lossScaleOf(rest, type === "float16" ? "dynamic" : 1) };
}

/** Numbers that a constant may have, in size, to be what it is in float16 too. */
const [leastHalf, mostHalf] = [2 ** -14, 65504];

/** The tensors that nodes make by putting elements elsewhere, and that products alone read, as they are or moved so again. */
function movedForProducts(graph: Graph): ReadonlySet<string> {
  const read = consumers(graph);
  const kept = new Set([...graph.outputs, ...graph.state.map(({ after }) => after)]);
  const found = new Set<string>();
  const isProduct = (rank: number): boolean => {
    const node = graph.nodes[rank] as Node;
    return opOf(node).product !== undefined || node.outputs.every((name) => found.has(name));
  };
  // who reads a tensor stands behind who makes it
  for (const { outputs } of graph.nodes.filter((node) => opOf(node).rearranges).reverse())
    for (const name of outputs) if (!kept.has(name) && (read.get(name) ?? []).every(isProduct)) found.add(name);
  return found;
}

/** What mixed precision knows while it goes through a graph. */
class Halves {
  /** The 16-bit form of float32 tensors. */
  private readonly forms = new Map<string, string>();
  /** Tensors that were made in 16 bits. */
  private readonly made = new Set<string>();
  /** Those, and what was made of them by moving elements: the float32 form of all these is a cast of the 16-bit form. */
  private readonly exact = new Set<string>();

  constructor(
    private readonly b: Builder,
    private readonly type: DType,
    private readonly moved: ReadonlySet<string>,
  ) {}

  /** A tensor in 16 bits; of others than float32 tensors the tensor itself. */
  of(name: string): string {
    if (!this.isFloat(name)) return name;
    const form = this.forms.get(name) ?? this.exactly(name) ?? this.rearranged(name) ?? cast(this.b, name, this.type);
    this.forms.set(name, form);
    return form;
  }

  /** Whether a node computes with what was made in 16 bits, and beside it only with what may be cast to them. */
  keeps(inputs: readonly string[]): boolean {
    const floats = inputs.filter((name) => this.isFloat(name));
    return (
      floats.some((name) => this.made.has(name)) && floats.every((name) => this.made.has(name) || this.mayBe(name))
    );
  }

  /** Whether 16 bits hold all that a node moves. */
  moves(node: Node): boolean {
    const { in16Bits, rearranges } = opOf(node);
    const floats = node.inputs.filter((name) => this.isFloat(name));
    return (
      (in16Bits === "moves" || rearranges === true) &&
      floats.some((name) => this.exact.has(name)) &&
      floats.every((name) => this.exact.has(name) || this.exactly(name) !== undefined)
    );
  }

  private isFloat(name: string): boolean {
    return name !== "" && this.b.type(name).dtype === "float32";
  }

  /** The number that a constant of one element holds, as a constant of 16 bits if they hold it too. */
  private exactly(name: string): string | undefined {
    const { shape } = this.b.type(name);
    const value = this.number(name);
    if (value === undefined || valuesOf(this.type, bytesOf(this.type, [value]))[0] !== value) return undefined;
    return this.b.constant(this.type, shape, value);
  }

  /**
   * What a node makes of float32 tensors by putting their elements elsewhere, from their 16-bit forms: half of the bytes
   * are moved then. Undefined if it is made otherwise, or read in float32 too.
   */
  private rearranged(name: string): string | undefined {
    const { b } = this;
    const node = b.producer(name);
    if (!node || !this.moved.has(name)) return undefined;
    const inputs = node.inputs.map((input) => this.of(input));
    // its name leads to the node that it stands for
    return b.op(node.op, inputs, node.attributes, { name: `${node.name}/${node.op}` });
  }

  /**
   * Adds a node with those of its inputs in 16 bits: it computes in them (`isMade`), or only moves them. Its results stand
   * in float32 too, under their own names.
   */
  add(node: Node, halved: readonly string[], isMade: boolean): void {
    const { b } = this;
    const inputs = node.inputs.map((name, i) => (i < halved.length ? this.of(name) : name));
    const types = b.infer({ ...node, inputs });
    const isHalf = (i: number): boolean => types[i]?.dtype === this.type;
    const outputs = node.outputs.map((name, i) => (name && isHalf(i) ? b.fresh(`${name}.16`) : name));
    addAs(b, { ...node, outputs }, inputs);
    node.outputs.forEach((name, i) => {
      if (!name || !isHalf(i)) return;
      b.add("Cast", [outputs[i]], { to: int(onnxNumbers.float32) }, { outputs: [name] });
      this.forms.set(name, outputs[i] as string);
      this.exact.add(name);
      if (isMade) this.made.add(name);
    });
  }

  /** A parameter, or a number that 16 bits hold: autocast would cast the one and takes the other as a number. */
  private mayBe(name: string): boolean {
    if (this.b.type(name).category === "parameter") return true;
    const value = this.number(name);
    return value === 0 || (value !== undefined && Math.abs(value) >= leastHalf && Math.abs(value) <= mostHalf);
  }

  /** The number that a constant of one element holds. */
  private number(name: string): number | undefined {
    const { category, data, dtype, shape } = this.b.type(name);
    return category === "constant" && data && elementCount(shape) === 1 ? valuesOf(dtype, data)[0] : undefined;
  }
}

/**
 * Every float32 matrix product and convolution, where 16 bits save most and lose least, runs on operands cast to 16 bits;
 * what its result goes through (`in16Bits` of the ops) stays in them, and is cast to float32 for all others, as PyTorch's
 * autocast does. Parameters, statistics and losses are float32. The loss is multiplied by a scale, so that small gradients
 * do not vanish in float16.
 */
const mixed: Precision["apply"] = (graph, named) => {
  const { type, lossScale } = mixedSettings(named);
  let halves: Halves | undefined;
  const moved = movedForProducts(graph);
  const mixedGraph = rebuild(graph, graph, (b, node) => {
    b.scope = node.name;
    halves ??= new Halves(b, type, moved);
    const { product, in16Bits } = opOf(node);
    const reads = node.inputs.filter(Boolean);
    const data = in16Bits === "data" ? node.inputs.slice(0, 1) : node.inputs;
    if (product && reads.every((name) => b.type(name).dtype === "float32")) halves.add(node, node.inputs, true);
    else if (in16Bits && in16Bits !== "moves" && halves.keeps(data)) halves.add(node, data, true);
    else if (halves.moves(node)) halves.add(node, node.inputs, false);
    else addAs(b, node);
  });
  return { graph: prune(mixedGraph), lossScale };
};

const asDouble = (dtype: DType): DType => (dtype === "float32" ? "float64" : dtype);

/** A tensor with its float32 elements as float64. */
export const doubled = <T extends { readonly dtype: DType; readonly data?: Uint8Array }>(tensor: T): T => ({
  ...tensor,
  dtype: asDouble(tensor.dtype),
  ...(tensor.data && tensor.dtype === "float32" ? { data: bytesOf("float64", valuesOf("float32", tensor.data)) } : {}),
});

/** Attributes that ask for float32 ask for float64. */
function doubledAttributes(node: Node): Node["attributes"] {
  const raise = (name: string, attribute: Attribute): Attribute =>
    ["to", "dtype"].includes(name) && attribute.type === "int" && attribute.value === onnxNumbers.float32
      ? int(onnxNumbers.float64)
      : attribute;
  return Object.fromEntries(Object.entries(node.attributes).map(([name, value]) => [name, raise(name, value)]));
}

/** All of the model in float64: rounding is then far below what float32 shows. */
const float64: Precision["apply"] = (graph) => {
  const tensors = new Map([...graph.tensors].map(([name, tensor]): [string, Tensor] => [name, doubled(tensor)]));
  const start = { ...graph, tensors };
  const graph64 = rebuild(graph, start, (b, node) => void addAs(b, node, node.inputs, doubledAttributes(node)));
  return { graph: graph64, lossScale: 1 };
};

/** All precisions by name. */
const precisions: ReadonlyMap<string, Precision> = new Map([
  ["mixed", { check: mixedSettings, apply: mixed }],
  ["float64", { check: (named: Named) => void numericSettings(named, {}), apply: float64 }],
]);

/** Throws `unknown precision: …`, or what is wrong with its settings. */
export const checkPrecision = (named: Named): void => precisionOf(named).check(named);

function precisionOf({ name }: Named): Precision {
  const precision = precisions.get(name);
  if (!precision) throw new Error(`unknown precision: ${name} (one of ${[...precisions.keys()].join(", ")})`);
  return precision;
}

/**
 * The forward graph in another precision: `mixed` (float16 products, float32 parameters; settings `type=bfloat16`,
 * `loss_scale=1024` or `dynamic`) or `float64`. Throws `unknown precision: …`.
 */
export function inPrecision(graph: Graph, precision: string): Precise {
  const named = parseNamed(precision);
  return precisionOf(named).apply(graph, named);
}
