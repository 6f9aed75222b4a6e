import { Builder } from "../build/build.js";
import { type Attribute, type DType, type Graph, int, type Node, onnxNumbers, type Tensor } from "../graph/graph.js";
import { bytesOf, valuesOf } from "../graph/values.js";
import { opOf } from "../ops/index.js";
import { cast } from "../ops/shapes.js";
import { type Named, numericSettings, parseNamed, takeSetting } from "./settings.js";

/** A forward graph in the precision that was asked for, and what its loss is to be multiplied by. */
interface Precise {
  readonly graph: Graph;
  readonly lossScale: number;
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
function mixedSettings(named: Named): { type: "float16" | "bfloat16"; lossScale: number } {
  const { value: type = "float16", rest } = takeSetting(named, "type");
  if (type !== "float16" && type !== "bfloat16")
    throw new Error(`type of mixed precision is not float16 or bfloat16: ${type}`);
  const { loss_scale } = numericSettings(rest, { loss_scale: type === "float16" ? 1024 : 1 });
  if (loss_scale <= 0) throw new Error(`loss_scale is not positive: ${loss_scale}`);
  return { type, lossScale: loss_scale };
}

/**
 * Every float32 matrix product and convolution, where 16 bits save most and lose least, runs on operands cast to 16 bits,
 * and its result is cast back; parameters stay in float32. The loss is multiplied by a fixed scale, so that small gradients do not vanish in float16.
 */
const mixed: Precision["apply"] = (graph, named) => {
  const { type, lossScale } = mixedSettings(named);
  const halves = new Map<string, string>();
  const mixedGraph = rebuild(graph, graph, (b, node) => {
    b.scope = node.name;
    const reads = node.inputs.filter(Boolean);
    if (!opOf(node).product || reads.some((name) => b.type(name).dtype !== "float32")) {
      addAs(b, node);
      return;
    }
    const inputs = node.inputs.map((name) => {
      if (!name) return name;
      const half = halves.get(name) ?? cast(b, name, type);
      halves.set(name, half);
      return half;
    });
    const [made] = b.add(node.op, inputs, node.attributes, { domain: node.domain, name: node.name });
    b.add("Cast", [made], { to: int(onnxNumbers.float32) }, { outputs: node.outputs });
  });
  return { graph: mixedGraph, lossScale };
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
 * The forward graph in another precision: `mixed` (float16 products, float32 parameters; settings `loss_scale=1024`,
 * `type=bfloat16`) or `float64`. Throws `unknown precision: …`.
 */
export function inPrecision(graph: Graph, precision: string): Precise {
  const named = parseNamed(precision);
  return precisionOf(named).apply(graph, named);
}
