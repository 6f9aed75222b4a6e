import { NodeError } from "../graph/errors.js";
import { type Attribute, type DType, elementCount, isFloat, type Node, type TensorType } from "../graph/graph.js";
import { ownOpset } from "./call.js";
import type { Op, OpCall } from "./op.js";
import { type AttributeSchema, type Parameter, type Schema, schemaOf, schemasOf } from "./schema.js";

/** The most elements that a tensor of a model may have: kernels count them in 32 bits. */
export const maxElements = 2 ** 31 - 1;

/** Attributes that count something: the least that each of their numbers may be. */
const least: ReadonlyMap<string, number> = new Map([
  ...["kernel_shape", "strides", "dilations", "group", "offset_group", "num_groups", "size", "blocksize"].map(
    (name): [string, number] => [name, 1],
  ),
  ...["p", "num_outputs", "sample_size", "hidden_size"].map((name): [string, number] => [name, 1]),
  ...["output_padding", "batch_dims"].map((name): [string, number] => [name, 0]),
]);

/** Windows and their pads are not larger than any image is: kernels loop over them. */
const mostOfWindow = 2 ** 20;

const windowNames = new Set(["kernel_shape", "strides", "dilations", "pads", "output_padding"]);

const autoPads = ["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"];

/**
 * Throws one line if a node of a model file is not what its op's schema says at the file's opset: a required input is
 * absent, there are too many inputs or outputs, an element type is not allowed, an attribute is unknown, lacking, of
 * another type or out of range. What the shapes say is left to the op's rule. Nothing else may see the node before.
 * Element types that a later opset allows are taken too, as kernels do, unless `exact`.
 */
export function checkNode(call: OpCall, op: Op, exact = false): void {
  const schema = schemaOf(call.node, call.opset);
  if (!schema) return;
  checkCounts(call, schema);
  checkElementTypes(call, schema, exact);
  for (const [name, { required }] of schema.attributes)
    if (required && !call.node.attributes[name])
      throw new NodeError(`${call.node.op} lacks attribute ${name}`, call.node);
  for (const [name, attribute] of Object.entries(call.node.attributes))
    checkAttribute(call, op, { schema, exact }, name, attribute);
}

/** The parameter that input or output `index` is; undefined if there is none. */
function parameterAt(parameters: readonly Parameter[], index: number): Parameter | undefined {
  const last = parameters.at(-1);
  return parameters[index] ?? (last?.kind === "variadic" ? last : undefined);
}

function checkCounts({ node }: OpCall, { inputs, outputs }: Schema): void {
  for (const [what, names, parameters] of [
    ["input", node.inputs, inputs],
    ["output", node.outputs, outputs],
  ] as const) {
    const extra = names.findIndex((name, i) => name !== "" && !parameterAt(parameters, i));
    if (extra >= 0) throw new NodeError(`${node.op} has no ${what} ${extra}`, node);
  }
  inputs.forEach((parameter, i) => {
    const lacks = parameter.kind === "required" && !node.inputs[i];
    const few = parameter.kind === "variadic" && node.inputs.length - i < parameter.least;
    const gap = parameter.kind === "variadic" ? node.inputs.findIndex((name, at) => at >= i && !name) : -1;
    if (lacks || few || gap >= 0)
      throw new NodeError(`${node.op} lacks input ${Math.max(i, gap)} (${parameter.name})`, node);
  });
}

function checkElementTypes({ node, inputs }: OpCall, schema: Schema, exact: boolean): void {
  const newest = node.domain || exact ? undefined : schemasOf(node.op).at(-1);
  const seen = new Map<string, string>();
  inputs.forEach((input, i) => {
    const parameter = parameterAt(schema.inputs, i);
    if (!input || !parameter?.dtypes) return;
    const { name, dtypes, constraint } = parameter;
    const later = newest && parameterAt(newest.inputs, i)?.dtypes;
    const all = [...dtypes, ...(later ?? [])];
    if (!all.includes(input.dtype)) {
      const allowed = [...new Set(all)];
      const wanted = allowed.length > 4 ? `${allowed.slice(0, 4).join(", ")}, …` : allowed.join(" or ");
      throw new NodeError(`type mismatch: ${name} of ${node.op} is ${input.dtype}, not ${wanted}`, node);
    }
    const before = constraint === undefined ? undefined : seen.get(constraint);
    if (before && before !== input.dtype)
      throw new NodeError(`type mismatch: ${before} and ${input.dtype}, ${name} of ${node.op}`, node);
    if (constraint !== undefined) seen.set(constraint, input.dtype);
  });
}

/**
 * Whether an attribute that an op's schema does not know may be left out: it says what holds anyway, the default of
 * another version of the op, or has one of the names that ONNX leaves to tools.
 */
function meansNothing({ domain, op }: Pick<Node, "domain" | "op">, name: string, { value }: Attribute): boolean {
  if (name.startsWith("__")) return true;
  return (domain ? [] : schemasOf(op)).some(({ attributes }) => {
    const otherwise = attributes.get(name)?.otherwise;
    return otherwise !== undefined && (otherwise === String(value) || Number(otherwise) === value);
  });
}

/** A model file's node without the attributes that its op does not have in the opset of graphs, and that mean nothing. */
export function withoutIdle<T extends Pick<Node, "domain" | "op" | "attributes">>(node: T): T {
  const schema = schemaOf(node, ownOpset);
  const idle = Object.entries(node.attributes).filter(
    ([name, attribute]) => schema && !schema.attributes.has(name) && meansNothing(node, name, attribute),
  );
  if (idle.length === 0) return node;
  const names = new Set(idle.map(([name]) => name));
  return {
    ...node,
    attributes: Object.fromEntries(Object.entries(node.attributes).filter(([name]) => !names.has(name))),
  };
}

function checkAttribute(
  call: OpCall,
  op: Op,
  { schema, exact }: { readonly schema: Schema; readonly exact: boolean },
  name: string,
  attribute: Attribute,
): void {
  const { node, opset } = call;
  const known: AttributeSchema | undefined = schema.attributes.get(name);
  if (!known) {
    if (!exact && meansNothing(node, name, attribute)) return;
    const at = node.domain ? "" : ` of opset ${opset}`;
    throw new NodeError(`${node.op}${at} has no attribute ${name}`, node);
  }
  const { type, value } = attribute;
  if (type !== known.type) throw new NodeError(`attribute ${name} of ${node.op} is ${type}, not ${known.type}`, node);
  const numbers = type === "int" ? [value] : type === "ints" ? value : [];
  checkNumbers(call, schema, name, numbers);
  if (name === "axis" && type === "int") checkAxis(call, op, value);
  const allowed = name === "auto_pad" ? autoPads : op.choices?.[name];
  const said = type === "string" ? [value] : type === "strings" ? value : [];
  const wrong = allowed && said.find((each) => !allowed.includes(each));
  if (wrong !== undefined)
    throw new NodeError(`${node.op} knows no ${name}=${wrong}: it is one of ${allowed?.join(", ")}`, node);
}

function checkNumbers({ node }: OpCall, schema: Schema, name: string, numbers: readonly number[]): void {
  const isWindow = windowNames.has(name) && schema.attributes.has("strides");
  const low = isWindow && name === "pads" ? 0 : (least.get(name) ?? Number.NEGATIVE_INFINITY);
  const high = isWindow ? mostOfWindow : Number.POSITIVE_INFINITY;
  const wrong = numbers.find((value) => value < low || value > high);
  if (wrong !== undefined)
    throw new NodeError(
      `attribute ${name} of ${node.op} is ${wrong}: ${wrong < low ? `the least is ${low}` : `the most is ${high}`}`,
      node,
    );
}

/** An axis lies within the rank of input 0, or of what the op makes of it. */
function checkAxis(call: OpCall, op: Op, axis: number): void {
  const first = call.inputs[0];
  if (!first) return;
  const rank = first.shape.length + (op.axisRoom ?? 0);
  if (axis < -rank || axis >= rank)
    throw new NodeError(`axis out of range: ${axis} for rank ${first.shape.length}`, call.node);
}

/**
 * Throws `type mismatch: …` for inputs whose element types do not go together by their op's record: a kernel is chosen by
 * the first one's and would read the others' bytes as if they had it too. Throws `tensor without elements: …` where the
 * record does not say that the op's kernels take such: they divide by its sizes, or leave their output unwritten.
 */
export function checkInputs({ node, inputs }: OpCall, { inputTypes, hostInputs, pointwise, empty, view }: Op): void {
  if (inputTypes !== "any") {
    let first: DType | undefined;
    for (const input of inputs) {
      if (!input || (inputTypes !== "equal" && !isFloat(input.dtype))) continue;
      first ??= input.dtype;
      if (input.dtype !== first) throw new NodeError(`type mismatch: ${first} and ${input.dtype}`, node);
    }
  }
  if (empty || pointwise || view) return;
  const without = inputs.findIndex((input, i) => input?.shape.includes(0) && !hostInputs.includes(i));
  if (without >= 0)
    throw new NodeError(`tensor without elements: ${node.inputs[without]} [${inputs[without]?.shape}]`, node);
}

/** Throws for outputs that no tensor can be: `impossible shape: …`, or more than `maxElements` if it is a model's node. */
export function checkOutputs({ node }: OpCall, types: readonly TensorType[], isOfModel = false): void {
  types.forEach(({ shape }, i) => {
    if (shape.some((size) => !Number.isSafeInteger(size) || size < 0))
      throw new NodeError(`impossible shape: ${node.outputs[i] || `output ${i}`} [${shape}]`, node);
    if (isOfModel && node.outputs[i]) checkSize(node.outputs[i], shape);
  });
}

/** Throws `tensor too large: …` for more than `maxElements`. */
export function checkSize(name: string, shape: readonly number[]): void {
  const count = elementCount(shape);
  if (count > maxElements)
    throw new Error(`tensor too large: ${name} [${shape}] has ${count} elements, the most is ${maxElements}`);
}
