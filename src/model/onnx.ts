import { readFileSync, statSync } from "node:fs";
import path from "node:path";
import { NodeError } from "../graph/errors.js";
import { type Attribute, dtypeOfNumber, onnxNumbers, type TensorType } from "../graph/graph.js";
import { inOneLine } from "../graph/message.js";
import { shortestFloat } from "../graph/values.js";
import { controlFlowHint } from "../ops/unsupported.js";
import type { Model, ModelNode, ModelValue } from "./model.js";
import { withBranchesTaken } from "./onnx-branches.js";
import { domainOf, inlined, sequencesAsSplits, sorted } from "./onnx-nodes.js";
import {
  decodeModel,
  encodeModel,
  type ProtoAttribute,
  type ProtoDimension,
  type ProtoModel,
  type ProtoNode,
  type ProtoValue,
  toNumber,
} from "./onnx-proto.js";
import { type ExternalPlace, type ModelSource, readTensor, writeTensor } from "./onnx-tensor.js";
import { scopeOf } from "./scopes.js";

/** protobuf's own limit. */
const maxBytes = 2 ** 31;

/** Reads an ONNX file with its external data. Throws one line for anything that is wrong with it. */
export function openOnnx(file: string): Model {
  let bytes: Uint8Array;
  try {
    const { size } = statSync(file);
    if (size >= maxBytes)
      throw new Error(
        `not an ONNX file: ${file} (2 GiB and more need external data: torch.onnx.export(…, dynamo=True, external_data=True))`,
      );
    bytes = readFileSync(file);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new Error(code ? `cannot read model: ${file} (${code})` : message, { cause: error });
  }
  return parseOnnx(bytes, { file, folder: path.dirname(path.resolve(file)) });
}

/** Parses ONNX bytes; `folder` is where external data may lie (null: nowhere). Throws one line for anything wrong. */
export function parseOnnx(bytes: Uint8Array, from: ModelSource): Model {
  try {
    return readModelProto(decoded(bytes, from.file), from);
  } catch (error) {
    // names in a damaged file may hold anything
    throw inOneLine(error);
  }
}

function decoded(bytes: Uint8Array, file: string): ProtoModel {
  // field 1 (IR version) as a small number: how these files start
  const looksRight = bytes[0] === 0x08 && (bytes[1] ?? 99) < 32;
  try {
    const proto = decodeModel(bytes);
    if (!proto.graph || !proto.opsetImport?.length) throw new RangeError("no graph or no opset");
    return proto;
  } catch (error) {
    const isCut = error instanceof RangeError && looksRight;
    const hint = isCut ? "" : otherFormat(bytes);
    throw new Error(`${isCut ? "truncated file" : "not an ONNX file"}: ${file}${hint}`, { cause: error });
  }
}

const exporters = {
  pytorch: 'torch.onnx.export(model, (x,), "MODEL.onnx", dynamo=True, optimize=False)',
  keras: 'model.export("MODEL.onnx", format="onnx")',
} as const;

/** What other file of a model its first bytes say that it is, and how that model becomes ONNX; empty if they say nothing. */
function otherFormat(bytes: Uint8Array): string {
  const start = Buffer.from(bytes.subarray(0, 16)).toString("latin1");
  if (start.startsWith("PK\x03\x04"))
    return ` (a zip archive: of PyTorch? ${exporters.pytorch}; of Keras? ${exporters.keras})`;
  if (start.startsWith("\x80")) return ` (a pickle, of PyTorch? ${exporters.pytorch})`;
  if (start.startsWith("\x89HDF")) return ` (HDF5, of Keras? ${exporters.keras})`;
  if (start.startsWith("GGUF") || start.startsWith('{"', 8))
    return ` (weights without a graph; export the model: ${exporters.pytorch})`;
  if (start.startsWith("TFL", 4)) return " (TensorFlow Lite: export the float model it was made from)";
  return "";
}

function readModelProto(proto: ProtoModel, from: ModelSource): Model {
  const graph = proto.graph ?? {};
  if (!graph.node?.length)
    throw new Error(`model without nodes: ${from.file} (export the model itself, not its weights)`);
  if (graph.sparseInitializer?.length)
    throw new Error(
      `unsupported: sparse initializer (${from.file}; make the weights dense before the export: weight.to_dense())`,
    );

  const opsets = Object.fromEntries((proto.opsetImport ?? []).map((o) => [domainOf(o.domain), toNumber(o.version)]));
  const initializers = new Map<string, TensorType & { data: Uint8Array }>();
  const flat = withBranchesTaken(graph);
  for (const tensor of flat.initializer ?? []) {
    const name = tensor.name ?? "";
    if (initializers.has(name)) throw new Error(`duplicate tensor: ${name}`);
    initializers.set(name, readTensor(tensor, name, from));
  }
  const inputs = (graph.input ?? []).map(readInput);
  const inputNames = new Set(inputs.map(({ name }) => name));
  if (inputNames.size < inputs.length) {
    const repeated = inputs.find(({ name }, i) => inputs.findIndex((input) => input.name === name) !== i);
    throw new Error(`duplicate tensor: ${repeated?.name}`);
  }
  const outputs = (graph.output ?? []).map(readOutput);
  const outputNames = new Set(outputs.map(({ name }) => name));
  const valueInfo = (graph.valueInfo ?? []).filter((v) => v.type?.tensorType?.shape).map(readInput);
  const types = new Map([...valueInfo, ...inputs].map((value) => [value.name, value]));
  const read = readNodes(inlined(flat.node ?? [], proto.functions ?? []), from);
  const nodes = sequencesAsSplits(read, initializers, types, outputNames);
  return {
    irVersion: toNumber(proto.irVersion),
    opset: opsets[""] ?? 0,
    opsets,
    producer: [proto.producerName, proto.producerVersion].filter(Boolean).join(" "),
    graphName: graph.name || path.basename(from.file),
    inputs,
    outputs,
    initializers,
    nodes: sorted(nodes, new Set([...initializers.keys(), ...inputNames]), [...outputNames]),
    valueInfo,
    metadata: recordOf(proto.metadataProps),
    graphMetadata: recordOf(graph.metadataProps),
  };
}

type Entries = { key: string; value: string }[];

const recordOf = (entries: Entries = []): Record<string, string> =>
  Object.fromEntries(entries.map(({ key, value }) => [key, value]));

const entriesOf = (record: Readonly<Record<string, string>>): Entries =>
  Object.entries(record).map(([key, value]) => ({ key, value }));

/** Nodes with names of their own: the file's where there is one, numbered where it is taken. */
function readNodes(nodes: readonly ProtoNode[], from: ModelSource): ModelNode[] {
  const counts = new Map<string, number>();
  return nodes.map((node, index) => {
    const wish = node.name || `${node.opType}_${index}`;
    let name = wish;
    for (let i = counts.get(wish) ?? 1; counts.has(name); i++) {
      name = `${wish}_${i + 1}`;
      counts.set(wish, i + 1);
    }
    counts.set(name, 1);
    if (!node.opType) throw new Error(`node without op: ${name}`);
    const hasGraph = node.attribute?.some(
      ({ type }) => type === attributeTypes.graph || type === attributeTypes.graphs,
    );
    if (hasGraph) throw new NodeError(`unsupported: control flow ${node.opType}`, { name }, { hint: controlFlowHint });
    return {
      name,
      domain: domainOf(node.domain),
      op: node.opType,
      inputs: node.input ?? [],
      outputs: node.output ?? [],
      attributes: Object.fromEntries((node.attribute ?? []).map((a) => [a.name, readAttribute(a, name, from)])),
      ...scopeOf(node),
    };
  });
}

function readInput(value: ProtoValue): ModelValue {
  const type = value.type?.tensorType;
  if (!type)
    throw new Error(
      `unsupported: ${value.type ? "sequence or optional type" : "no type"} of ${value.name} (let the model take and return tensors alone)`,
    );
  const dims = (type.shape?.dim ?? []).map((dim) => {
    if (!dim.value) return null;
    if (dim.value === "dimParam") return dim.dimParam || null;
    const size = toNumber(dim.dimValue);
    if (size < 0) throw new Error(`negative dimension: ${size} (${value.name})`);
    if (!Number.isSafeInteger(size)) throw new Error(`tensor too large: ${value.name} [${size}]`);
    return size;
  });
  return { name: value.name, dtype: dtypeOfNumber(type.elemType ?? 0, value.name), dims };
}

/** An output may lack its type. */
const readOutput = (value: ProtoValue): ModelValue =>
  value.type ? readInput(value) : { name: value.name, dtype: "float32", dims: [] };

/** Text of a field; one that the file lacks reads as an empty list. */
const decodeText = (bytes: Uint8Array | undefined): string => (bytes?.length ? new TextDecoder().decode(bytes) : "");

/** ONNX's numbers of attribute types (AttributeProto.AttributeType). */
const attributeTypes = {
  float: 1,
  int: 2,
  string: 3,
  tensor: 4,
  graph: 5,
  floats: 6,
  ints: 7,
  strings: 8,
  graphs: 10,
} as const;

function readAttribute(attribute: ProtoAttribute, node: string, from: ModelSource): Attribute {
  switch (attribute.type) {
    case attributeTypes.float:
      return { type: "float", value: shortestFloat(attribute.f ?? 0) };
    case attributeTypes.int:
      return { type: "int", value: toNumber(attribute.i) };
    case attributeTypes.string:
      return { type: "string", value: decodeText(attribute.s) };
    case attributeTypes.tensor:
      return { type: "tensor", value: readTensor(attribute.t ?? {}, `${node}.${attribute.name}`, from) };
    case attributeTypes.floats:
      return { type: "floats", value: (attribute.floats ?? []).map(shortestFloat) };
    case attributeTypes.ints:
      return { type: "ints", value: (attribute.ints ?? []).map(toNumber) };
    case attributeTypes.strings:
      return { type: "strings", value: (attribute.strings ?? []).map(decodeText) };
    default:
      throw new Error(`unsupported: attribute ${attribute.name} (node ${node})`);
  }
}

/**
 * ONNX bytes of a model. The data of initializers is inline, or in another file where `external` says it lies. Throws
 * for one of 2 GiB and more, which a single file cannot hold.
 */
export function encodeOnnx(model: Model, external: ReadonlyMap<string, ExternalPlace> = new Map()): Uint8Array {
  const inline = [...model.initializers].filter(([name]) => !external.has(name));
  const dataBytes = inline.reduce((sum, [, { data }]) => sum + data.length, 0);
  if (dataBytes >= maxBytes) throw new Error(`model too large for one file: ${model.graphName} (${dataBytes} bytes)`);
  const [, producerName, producerVersion] = /^(.*?)(?: (\S*))?$/s.exec(model.producer) ?? [];
  return encodeModel({
    irVersion: model.irVersion,
    producerName: producerName ?? "",
    producerVersion: producerVersion ?? "",
    opsetImport: Object.entries(model.opsets).map(([domain, version]) => ({ domain, version })),
    metadataProps: entriesOf(model.metadata),
    graph: {
      name: model.graphName,
      node: model.nodes.map((node) => ({
        name: node.name,
        domain: node.domain,
        opType: node.op,
        input: [...node.inputs],
        output: [...node.outputs],
        attribute: Object.entries(node.attributes).map(([name, value]) => writeAttribute(name, value)),
      })),
      initializer: [...model.initializers].map(([name, tensor]) => writeTensor(name, tensor, external.get(name))),
      input: model.inputs.map(writeValue),
      output: model.outputs.map(writeValue),
      valueInfo: model.valueInfo.map(writeValue),
      metadataProps: entriesOf(model.graphMetadata),
    },
  });
}

function writeValue({ name, dtype, dims }: ModelValue): ProtoValue {
  const dim = dims.map((size): ProtoDimension => {
    if (size === null) return {};
    return typeof size === "number" ? { dimValue: size } : { dimParam: size };
  });
  return { name, type: { tensorType: { elemType: onnxNumbers[dtype], shape: { dim } } } };
}

function writeAttribute(name: string, { type, value }: Attribute): ProtoAttribute {
  const base = { name, type: attributeTypes[type] };
  switch (type) {
    case "float":
      return { ...base, f: value };
    case "int":
      return { ...base, i: value };
    case "string":
      return { ...base, s: Buffer.from(value) };
    case "tensor":
      return { ...base, t: writeTensor("", value) };
    case "floats":
      return { ...base, floats: [...value] };
    case "ints":
      return { ...base, ints: [...value] };
    case "strings":
      return { ...base, strings: value.map((text) => Buffer.from(text)) };
  }
}
