import {
  type Attribute,
  elementCount,
  type Graph,
  type Node,
  type Phase,
  producers,
  type Tensor,
  type TensorType,
  tensorOf,
} from "../graph/graph.js";
import { shortestFloat, valuesOf } from "../graph/values.js";
import { madeCategory } from "./parse.js";
import { plainWord } from "./tokens.js";

export { parseGraph } from "./parse.js";

export interface PrintOptions {
  /** Data of tensors with more elements are left out, shown as `{...}`; default 1024. */
  readonly maxElements?: number;
  /** Write the type of every output too. */
  readonly types?: boolean;
  /** What stands left of each node's line, for people: the text is not to be read back then. */
  readonly margin?: (node: Node) => string;
}

/**
 * A graph as text that `parseGraph` reads back: resident tensors first, then one node a line in schedule order.
 * Data that `maxElements` leaves out are lost.
 */
export function printGraph(graph: Graph, options: PrintOptions = {}): string {
  const maxElements = options.maxElements ?? 1024;
  const made = producers(graph);
  const inputs = new Set(graph.inputs);
  const residents = [...graph.tensors.values()].filter(({ name }) => !made.has(name) && !inputs.has(name));
  const header = [...graph.inputs.map((name) => tensorOf(graph, name)), ...residents].map((tensor) => {
    const category = tensor.category === "input" ? "" : `${tensor.category} `;
    const data = tensor.data ? ` = ${dataText(tensor, tensor.data, maxElements)}` : "";
    return `${category}${typeText(tensor)} ${nameText(tensor.name)}${placeText(tensor)}${data}`;
  });
  const oneLine = header.join(", ");
  const lines = [
    `graph ${nameText(graph.name)}(${oneLine.length < 80 ? oneLine : `\n  ${header.join(",\n  ")}\n`}) => (${graph.outputs.map(nameText).join(", ")}) {`,
  ];
  let phase: Phase = "forward";
  for (const node of graph.nodes) {
    if (node.phase !== phase) lines.push(`${node.phase}:`);
    phase = node.phase;
    lines.push(`${options.margin?.(node) ?? ""}  ${nodeText(graph, node, options.types ?? false)}`);
  }
  for (const { before, after } of graph.state) lines.push(`  state ${nameText(before)} -> ${nameText(after)}`);
  if (graph.loss !== undefined) lines.push(`  loss ${nameText(graph.loss)}`);
  return `${lines.join("\n")}\n}\n`;
}

/** A node as one line of text. */
function nodeText(graph: Graph, node: Node, types: boolean): string {
  const outputs = node.outputs.map((name) => {
    if (!name) return "_";
    const tensor = tensorOf(graph, name);
    const category = tensor.category === madeCategory[node.phase] ? "" : `${tensor.category} `;
    return `${category}${types ? `${typeText(tensor)} ` : ""}${nameText(name)}${placeText(tensor)}`;
  });
  const name = node.name === node.outputs.find(Boolean) ? "" : `[${nameText(node.name)}] `;
  const op = nameText(node.domain ? `${node.domain}.${node.op}` : node.op);
  const attributes = Object.entries(node.attributes).map(([key, value]) => `${nameText(key)}=${attributeText(value)}`);
  const settings = attributes.length ? `<${attributes.join(", ")}>` : "";
  const inputs = node.inputs.map((input) => (input ? nameText(input) : "_"));
  return `${name}${outputs.join(", ")} = ${op}${settings}(${inputs.join(", ")})`;
}

/** `float32[32,10]` */
const typeText = ({ dtype, shape }: TensorType): string => `${dtype}[${shape.join(",")}]`;

const nameText = (name: string): string => (plainWord(name) ? name : JSON.stringify(name));

const placeText = ({ within, host, range }: Tensor): string =>
  (within ? ` within ${nameText(within.tensor)}+${within.offsetBytes}` : "") +
  (host ? " on host" : "") +
  (range ? ` range [${range.map(numberText).join(",")}]` : "");

function dataText({ dtype, shape }: TensorType, data: Uint8Array, maxElements = Number.POSITIVE_INFINITY): string {
  if (elementCount(shape) > maxElements) return "{...}";
  // 64-bit integers do not fit into numbers
  if (dtype === "int64") return `{${new BigInt64Array(data.slice().buffer).join(",")}}`;
  if (dtype === "uint64") return `{${new BigUint64Array(data.slice().buffer).join(",")}}`;
  const number = dtype === "float32" ? (x: number) => numberText(shortestFloat(x)) : numberText;
  return `{${valuesOf(dtype, data).map(number).join(",")}}`;
}

const numberText = (value: number): string => {
  if (Object.is(value, -0)) return "-0";
  return Number.isFinite(value) ? String(value) : String(value).toLowerCase().replace("infinity", "inf");
};

/** A float always shows that it is one. */
const floatText = (value: number): string => {
  const text = numberText(value);
  return /^-?\d+$/.test(text) ? `${text}.0` : text;
};

function attributeText(attribute: Attribute): string {
  switch (attribute.type) {
    case "int":
      return numberText(attribute.value);
    case "float":
      return floatText(attribute.value);
    case "string":
      return JSON.stringify(attribute.value);
    case "ints":
      return `[${attribute.value.map(numberText).join(",")}]`;
    case "floats":
      return attribute.value.length ? `[${attribute.value.map(floatText).join(",")}]` : "floats[]";
    case "strings":
      return attribute.value.length ? `[${attribute.value.map((s) => JSON.stringify(s)).join(",")}]` : "strings[]";
    case "tensor":
      return typeText(attribute.value) + dataText(attribute.value, attribute.value.data);
  }
}
