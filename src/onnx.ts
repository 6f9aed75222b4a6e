import { closeSync, existsSync, openSync, readFileSync, readSync, realpathSync, statSync } from "node:fs";
import path from "node:path";
import protobuf from "protobufjs";
import { type Attribute, bytesPerElement, type DType, dtypeOfNumber, elementCount, type TensorType } from "./graph.js";
import { onnxProto } from "./onnx-proto.js";
import { bytesOf } from "./values.js";

export interface ModelNode {
  readonly name: string;
  readonly domain: string;
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, Attribute>>;
}

export interface ModelValue {
  readonly name: string;
  readonly dtype: DType;
  /** A number, the name of a symbolic dimension, or null for an unknown one. Empty also for an output of unknown rank. */
  readonly dims: readonly (number | string | null)[];
}

/** An ONNX file as it is, before its dimensions are bound: nodes in topological order, functions inlined. */
export interface Model {
  readonly irVersion: number;
  /** Version of the default domain. */
  readonly opset: number;
  readonly opsets: Readonly<Record<string, number>>;
  /** Name and version of the program that wrote the file. */
  readonly producer: string;
  readonly graphName: string;
  readonly inputs: readonly ModelValue[];
  readonly outputs: readonly ModelValue[];
  readonly initializers: ReadonlyMap<string, TensorType & { readonly data: Uint8Array }>;
  readonly nodes: readonly ModelNode[];
}

interface ProtoTensor {
  dims?: number[];
  dataType?: number;
  floatData?: number[];
  int32Data?: number[];
  int64Data?: number[];
  uint64Data?: number[];
  doubleData?: number[];
  rawData?: Uint8Array;
  name?: string;
  externalData?: { key: string; value: string }[];
  dataLocation?: number;
}
interface ProtoAttribute {
  name: string;
  refAttrName?: string;
  type?: number;
  f?: number;
  i?: number;
  s?: Uint8Array;
  t?: ProtoTensor;
  g?: unknown;
  floats?: number[];
  ints?: number[];
  strings?: Uint8Array[];
}
interface ProtoNode {
  input?: string[];
  output?: string[];
  name?: string;
  opType?: string;
  domain?: string;
  attribute?: ProtoAttribute[];
}
interface ProtoValue {
  name: string;
  type?: { tensorType?: { elemType?: number; shape?: { dim?: { dimValue?: number; dimParam?: string }[] } } };
}
interface ProtoFunction {
  name: string;
  domain?: string;
  input?: string[];
  output?: string[];
  node?: ProtoNode[];
  attributeProto?: ProtoAttribute[];
}
interface ProtoModel {
  irVersion?: number;
  producerName?: string;
  producerVersion?: string;
  graph?: {
    name?: string;
    node?: ProtoNode[];
    initializer?: ProtoTensor[];
    sparseInitializer?: unknown[];
    input?: ProtoValue[];
    output?: ProtoValue[];
  };
  opsetImport?: { domain?: string; version?: number }[];
  functions?: ProtoFunction[];
}

let schema: protobuf.Type | undefined;
function modelType(): protobuf.Type {
  schema ??= protobuf.parse(onnxProto, { keepCase: false }).root.lookupType("onnx.ModelProto");
  return schema;
}

/** protobufjs gives int64 as Long or number; anything beyond 2^53 is one of ONNX's "to the end" values. */
const toNumber = (value: unknown): number => Number(value as bigint | number | { toString(): string });

/** Reads an ONNX file with its external data. Throws one line for anything that is wrong with it. */
export function openOnnx(file: string): Model {
  let bytes: Uint8Array;
  try {
    if (statSync(file).size >= 2 ** 31)
      throw new Error(`not an ONNX file: ${file} (2 GiB and more need external data)`);
    bytes = readFileSync(file);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new Error(code ? `cannot read model: ${file} (${code})` : message, { cause: error });
  }
  return parseOnnx(bytes, { file, folder: path.dirname(path.resolve(file)) });
}

/** Parses ONNX bytes; `folder` is where external data may lie (null: nowhere). Throws one line for anything wrong. */
export function parseOnnx(bytes: Uint8Array, from: { file: string; folder: string | null }): Model {
  try {
    return readProto(bytes, from);
  } catch (error) {
    // names in a damaged file may hold anything: the message stays one line
    const message = (error as Error).message.replace(/\p{Cc}/gu, "\uFFFD");
    throw new Error(message, { cause: error });
  }
}

function readProto(bytes: Uint8Array, from: { file: string; folder: string | null }): Model {
  let proto: ProtoModel;
  try {
    proto = modelType().decode(bytes) as unknown as ProtoModel;
  } catch (error) {
    const what = error instanceof RangeError && looksLikeOnnx(bytes) ? "truncated file" : "not an ONNX file";
    throw new Error(`${what}: ${from.file}`, { cause: error });
  }
  const { graph } = proto;
  if (!graph?.node?.length || !proto.opsetImport?.length) throw new Error(`not an ONNX file: ${from.file}`);
  if (graph.sparseInitializer?.length) throw new Error(`unsupported: sparse initializer (${from.file})`);

  const opsets = Object.fromEntries(proto.opsetImport.map((o) => [domainOf(o.domain), toNumber(o.version ?? 0)]));
  const initializers = new Map<string, TensorType & { data: Uint8Array }>();
  for (const tensor of graph.initializer ?? []) {
    const name = tensor.name ?? "";
    if (initializers.has(name)) throw new Error(`duplicate tensor: ${name}`);
    initializers.set(name, readTensor(tensor, name, from));
  }
  const inputs = (graph.input ?? []).map((value) => readValue(value, true));
  const outputs = (graph.output ?? []).map((value) => readValue(value, false));
  const functions = new Map((proto.functions ?? []).map((f) => [`${domainOf(f.domain)}:${f.name}`, f] as const));
  const protoNodes = inlined(graph.node, functions, "", 0);
  const names = new Set<string>();
  const nodes = protoNodes.map((node, index): ModelNode => {
    const wish = node.name || `${node.opType}_${index}`;
    let name = wish;
    for (let i = 2; names.has(name); i++) name = `${wish}_${i}`;
    names.add(name);
    return {
      name,
      domain: domainOf(node.domain),
      op: node.opType ?? "",
      inputs: node.input ?? [],
      outputs: node.output ?? [],
      attributes: Object.fromEntries((node.attribute ?? []).map((a) => [a.name, readAttribute(a, name, from)])),
    };
  });
  const given = new Set([...initializers.keys(), ...inputs.map((i) => i.name)]);
  return {
    irVersion: toNumber(proto.irVersion ?? 0),
    opset: opsets[""] ?? 0,
    opsets,
    producer: [proto.producerName, proto.producerVersion].filter(Boolean).join(" "),
    graphName: graph.name || path.basename(from.file),
    inputs,
    outputs,
    initializers,
    nodes: sorted(
      nodes,
      given,
      outputs.map((o) => o.name),
    ),
  };
}

const domainOf = (domain: string | undefined): string => (!domain || domain === "ai.onnx" ? "" : domain);

/** Whether the bytes start as ModelProto files do: field 1 (IR version) as a small number. */
const looksLikeOnnx = (bytes: Uint8Array): boolean => bytes[0] === 0x08 && (bytes[1] ?? 99) < 32;

function readValue(value: ProtoValue, needed: boolean): ModelValue {
  const type = value.type?.tensorType;
  if (!type) {
    if (needed || value.type)
      throw new Error(`unsupported: ${value.type ? "sequence or optional type" : "no type"} of ${value.name}`);
    return { name: value.name, dtype: "float32", dims: [] };
  }
  const dims = (type.shape?.dim ?? []).map((dim): number | string | null => {
    if (dim.dimParam) return dim.dimParam;
    if (dim.dimValue === undefined) return null;
    const size = toNumber(dim.dimValue);
    if (size < 0) throw new Error(`negative dimension: ${size} (${value.name})`);
    return size;
  });
  return { name: value.name, dtype: dtypeOfNumber(type.elemType ?? 0, value.name), dims };
}

/** A tensor's type and little-endian bytes, read from whichever field holds them. */
function readTensor(
  tensor: ProtoTensor,
  name: string,
  from: { file: string; folder: string | null },
): TensorType & { data: Uint8Array } {
  const shape = (tensor.dims ?? []).map(toNumber);
  if (shape.some((n) => n < 0)) throw new Error(`negative dimension: [${shape}] (${name})`);
  const dtype = dtypeOfNumber(tensor.dataType ?? 0, name);
  const expected = elementCount(shape) * bytesPerElement(dtype);
  if (!Number.isSafeInteger(expected)) throw new Error(`tensor too large: ${name} [${shape}]`);
  const data = tensor.dataLocation === 1 ? readExternal(tensor, name, expected, from) : inlineBytes(tensor, dtype);
  if (data.length !== expected)
    throw new Error(
      `tensor ${name} claims [${shape}] ${dtype}, ${expected} bytes, but has ${data.length}: ${from.file}`,
    );
  return { dtype, shape, data };
}

function inlineBytes(tensor: ProtoTensor, dtype: DType): Uint8Array {
  const raw = tensor.rawData;
  // a plain view: Node's decoder gives Buffers, whose slice() does not copy
  if (raw?.length) return new Uint8Array(raw.buffer, raw.byteOffset, raw.length);
  if (tensor.floatData?.length) return bytesOf(dtype, tensor.floatData);
  if (tensor.doubleData?.length) return bytesOf(dtype, tensor.doubleData);
  if (tensor.int64Data?.length)
    return new Uint8Array(BigInt64Array.from(tensor.int64Data.map((x) => BigInt(String(x)))).buffer);
  if (tensor.uint64Data?.length) return bytesOf(dtype, tensor.uint64Data.map(toNumber));
  if (tensor.int32Data?.length) {
    // half floats are stored as their bits
    const bits = dtype === "float16" || dtype === "bfloat16" ? "uint16" : dtype;
    return bytesOf(bits, tensor.int32Data);
  }
  return new Uint8Array(0);
}

/** Reads a tensor's part of an external data file, which must lie in the model's folder. */
function readExternal(
  tensor: ProtoTensor,
  name: string,
  expected: number,
  from: { file: string; folder: string | null },
): Uint8Array {
  const entry = new Map((tensor.externalData ?? []).map(({ key, value }) => [key, value]));
  const location = entry.get("location") ?? "";
  const offset = Number(entry.get("offset") ?? 0);
  const length = entry.has("length") ? Number(entry.get("length")) : expected;
  if (from.folder === null || !location) throw new Error(`external data without a place: ${name} (${from.file})`);
  const file = path.resolve(from.folder, location);
  const outside = (place: string, folder: string): boolean => {
    const relative = path.relative(folder, place);
    return relative.startsWith("..") || path.isAbsolute(relative);
  };
  if (path.isAbsolute(location) || outside(file, from.folder))
    throw new Error(`external data outside the model's folder: ${location} (${name})`);
  if (!existsSync(file)) throw new Error(`missing external data: ${location} (${name})`);
  if (outside(realpathSync(file), realpathSync(from.folder)))
    throw new Error(`external data outside the model's folder: ${location} (${name})`);
  if (!(offset >= 0) || !(length >= 0) || length !== expected)
    throw new Error(
      `tensor ${name} claims ${expected} bytes, its external data says ${entry.get("length")} at ${entry.get("offset")}`,
    );
  const size = statSync(file).size;
  if (offset + length > size)
    throw new Error(`truncated external data: ${location} has ${size} bytes, ${name} needs ${offset + length}`);
  const data = new Uint8Array(length);
  const handle = openSync(file, "r");
  try {
    for (let done = 0; done < length; ) {
      const got = readSync(handle, data, done, Math.min(length - done, 2 ** 30), offset + done);
      if (got === 0) throw new Error(`truncated external data: ${location} (${name})`);
      done += got;
    }
  } finally {
    closeSync(handle);
  }
  return data;
}

const decodeText = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(bytes ?? new Uint8Array(0));

/** Attribute types by ONNX's numbers: 1 float, 2 int, 3 string, 4 tensor, 6 floats, 7 ints, 8 strings. */
function readAttribute(
  attribute: ProtoAttribute,
  node: string,
  from: { file: string; folder: string | null },
): Attribute {
  switch (attribute.type) {
    case 1:
      return { type: "float", value: attribute.f ?? 0 };
    case 2:
      return { type: "int", value: toNumber(attribute.i ?? 0) };
    case 3:
      return { type: "string", value: decodeText(attribute.s) };
    case 4:
      return { type: "tensor", value: readTensor(attribute.t ?? {}, `${node}.${attribute.name}`, from) };
    case 6:
      return { type: "floats", value: attribute.floats ?? [] };
    case 7:
      return { type: "ints", value: (attribute.ints ?? []).map(toNumber) };
    case 8:
      return { type: "strings", value: (attribute.strings ?? []).map(decodeText) };
    default:
      throw new Error(
        `unsupported: ${attribute.type === 5 ? "subgraph " : ""}attribute ${attribute.name} (node ${node})`,
      );
  }
}

/** Nodes with the calls of model-local functions replaced by the functions' nodes. */
function inlined(
  nodes: readonly ProtoNode[],
  functions: ReadonlyMap<string, ProtoFunction>,
  prefix: string,
  depth: number,
): ProtoNode[] {
  if (functions.size === 0) return [...nodes];
  if (depth > 32) throw new Error(`functions call each other: ${prefix}`);
  return nodes.flatMap((call, index) => {
    const body = functions.get(`${domainOf(call.domain)}:${call.opType}`);
    if (!body) return [call];
    const scope = `${prefix}${call.name || `${call.opType}_${index}`}/`;
    const names = new Map<string, string>();
    for (const [i, name] of (body.input ?? []).entries()) names.set(name, call.input?.[i] ?? "");
    for (const [i, name] of (body.output ?? []).entries()) names.set(name, call.output?.[i] || `${scope}${name}`);
    const rename = (name: string): string => (name ? (names.get(name) ?? `${scope}${name}`) : "");
    const given = new Map([...(body.attributeProto ?? []), ...(call.attribute ?? [])].map((a) => [a.name, a]));
    const inner = (body.node ?? []).map(
      (node, i): ProtoNode => ({
        ...node,
        name: `${scope}${node.name || `${node.opType}_${i}`}`,
        input: (node.input ?? []).map(rename),
        output: (node.output ?? []).map(rename),
        attribute: (node.attribute ?? []).flatMap((a) => {
          if (!a.refAttrName) return [a];
          const value = given.get(a.refAttrName);
          return value ? [{ ...value, name: a.name }] : [];
        }),
      }),
    );
    return inlined(inner, functions, scope, depth + 1);
  });
}

/** Nodes in topological order: the file's own where it is one. Throws for cycles, duplicates and inputs nothing makes. */
function sorted(nodes: readonly ModelNode[], given: ReadonlySet<string>, outputs: readonly string[]): ModelNode[] {
  const maker = new Map<string, number>();
  nodes.forEach((node, index) => {
    for (const name of node.outputs) {
      if (!name) continue;
      if (maker.has(name) || given.has(name)) throw new Error(`duplicate tensor: ${name} (node ${node.name})`);
      maker.set(name, index);
    }
  });
  for (const name of outputs)
    if (!maker.has(name) && !given.has(name)) throw new Error(`output that nothing makes: ${name}`);
  const order: ModelNode[] = [];
  const state = new Uint8Array(nodes.length); // 1 being visited, 2 done
  for (let root = 0; root < nodes.length; root++) {
    const stack: [index: number, input: number][] = [[root, 0]];
    while (stack.length) {
      const top = stack[stack.length - 1] as [number, number];
      const node = nodes[top[0]] as ModelNode;
      if (state[top[0]] === 2) {
        stack.pop();
        continue;
      }
      state[top[0]] = 1;
      const name = node.inputs[top[1]++];
      if (name === undefined) {
        state[top[0]] = 2;
        order.push(node);
        stack.pop();
        continue;
      }
      if (!name || given.has(name)) continue;
      const from = maker.get(name);
      if (from === undefined) throw new Error(`input that nothing makes: ${name} (node ${node.name})`);
      if (state[from] === 1) throw new Error(`cyclic graph: ${name} (node ${node.name})`);
      if (state[from] === 0) stack.push([from, 0]);
    }
  }
  return order;
}
