import { statSync } from "node:fs";
import path from "node:path";
import { mostBytes, readFile } from "../files.js";
import { formatBytes } from "../format.js";
import { type Attribute, dtypeOfNumber, onnxNumbers } from "../graph/graph.js";
import { inOneLine } from "../graph/message.js";
import { domainOf, inlined } from "./functions.js";
import type { Initializer, Model, ModelNode, ModelValue, Subgraph } from "./model.js";
import { attributeTypes, readAttribute, writeAttribute } from "./onnx-attributes.js";
import { sequencesAsSplits, sorted } from "./onnx-nodes.js";
import {
  decodeModel,
  encodeModel,
  type ProtoDimension,
  type ProtoFunction,
  type ProtoGraph,
  type ProtoModel,
  type ProtoNode,
  type ProtoValue,
  toNumber,
} from "./onnx-proto.js";
import { type ExternalPlace, type ModelSource, readTensor, writeTensor } from "./onnx-tensor.js";
import { otherFormat } from "./other-format.js";
import { scopeOf } from "./scopes.js";
import { readsOf } from "./subgraphs.js";

/** protobuf's own limit. */
const maxBytes = mostBytes.model;

/** Reads an ONNX file with its external data. Throws one line for anything that is wrong with it. */
export function openOnnx(file: string): Model {
  const { size } = statSync(file, { throwIfNoEntry: false }) ?? { size: 0 };
  if (size >= maxBytes)
    throw new Error(
      `not an ONNX file: ${file} (${formatBytes(size)}; 2 GiB and more need external data: torch.onnx.export(…, dynamo=True, external_data=True))`,
    );
  return parseOnnx(readFile("model", file), { file, folder: path.dirname(path.resolve(file)) });
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

function readModelProto(proto: ProtoModel, from: ModelSource): Model {
  const graph = proto.graph ?? {};
  if (!graph.node?.length)
    throw new Error(`model without nodes: ${from.file} (export the model itself, not its weights)`);
  const opsets = Object.fromEntries((proto.opsetImport ?? []).map((o) => [domainOf(o.domain), toNumber(o.version)]));
  const unreadable = new Map<string, Error>();
  const reading: GraphReading = { from, unreadable, functions: proto.functions ?? [] };
  const initializers = readInitializers(graph, reading);
  const repeated = repeatedName((graph.input ?? []).map(({ name }) => name));
  if (repeated !== undefined) throw new Error(`duplicate tensor: ${repeated}`);
  const inputs = readable(graph.input ?? [], readInput, unreadable);
  const declared = new Set([...(graph.input ?? []).map(({ name }) => name), ...unreadable.keys()]);
  const outputNames = (graph.output ?? []).map(({ name }) => name);
  const outputs = readable(graph.output ?? [], readOutput, unreadable);
  const valueInfo = readable(
    (graph.valueInfo ?? []).filter((v) => v.type?.tensorType?.shape),
    readInput,
    new Map(),
  );
  const types = new Map([...valueInfo, ...inputs].map((value) => [value.name, value]));
  const read = readNodes(inlined(graph.node, reading.functions, unreadable, outputNames), reading);
  const nodes = sequencesAsSplits(read, initializers, types, new Set(outputNames));
  const order = sorted(nodes, new Set([...initializers.keys(), ...declared]), outputNames);
  for (const [name, why] of order.unmade) if (!unreadable.has(name)) unreadable.set(name, inOneLine(why));
  checkLooseInputs(graph, order.nodes, unreadable);
  return {
    irVersion: toNumber(proto.irVersion),
    opset: opsets[""] ?? 0,
    opsets,
    producer: [proto.producerName, proto.producerVersion].filter(Boolean).join(" "),
    graphName: graph.name || path.basename(from.file),
    inputs,
    outputs,
    initializers,
    nodes: order.nodes,
    valueInfo,
    ...(unreadable.size > 0 && { unreadable }),
    metadata: recordOf(proto.metadataProps),
    graphMetadata: recordOf(graph.metadataProps),
  };
}

/** What reading a graph shares with reading the graphs inside it. */
interface GraphReading {
  readonly from: ModelSource;
  /** Tensors that cannot be read, and why: somebody who needs one throws that. */
  readonly unreadable: Map<string, Error>;
  readonly functions: readonly ProtoFunction[];
}

const repeatedName = (names: readonly string[]): string | undefined => {
  const seen = new Set<string>();
  return names.find((name) => seen.has(name) || !seen.add(name));
};

/** A graph's initializers; of those that cannot be read the reasons are kept. Throws `duplicate tensor: …`. */
function readInitializers(
  { initializer = [], sparseInitializer = [] }: ProtoGraph,
  { from, unreadable }: GraphReading,
): Map<string, Initializer> {
  const initializers = new Map<string, Initializer>();
  const repeated = repeatedName(initializer.map(({ name = "" }) => name));
  if (repeated !== undefined) throw new Error(`duplicate tensor: ${repeated}`);
  for (const tensor of initializer) {
    const name = tensor.name ?? "";
    attempt([name], unreadable, () => initializers.set(name, readTensor(tensor, name, from)));
  }
  const why = `unsupported: sparse initializer (${from.file}; make the weights dense before the export: weight.to_dense())`;
  for (const { values } of sparseInitializer) unreadable.set(values?.name ?? "", new Error(why));
  return initializers;
}

/** Runs some work; if that fails, the tensors that it was for are unreadable for that reason. */
function attempt(names: readonly string[], unreadable: Map<string, Error>, work: () => void): void {
  try {
    work();
  } catch (error) {
    for (const name of names) unreadable.set(name, inOneLine(error));
  }
}

/** Those of a file's values whose type can be read; of the others the reasons are kept. */
function readable(
  values: readonly ProtoValue[],
  read: (value: ProtoValue) => ModelValue,
  unreadable: Map<string, Error>,
): ModelValue[] {
  const found: ModelValue[] = [];
  for (const value of values) attempt([value.name], unreadable, () => void found.push(read(value)));
  return found;
}

/**
 * Throws for an input that cannot be given and that no node reads: every step is given the model's inputs. One that nodes
 * read is needed only if they are.
 */
function checkLooseInputs(
  graph: ProtoGraph,
  nodes: readonly ModelNode[],
  unreadable: ReadonlyMap<string, Error>,
): void {
  const loose = (graph.input ?? []).filter(({ name }) => unreadable.has(name));
  if (loose.length === 0) return;
  const read = new Set(nodes.flatMap(readsOf));
  for (const { name } of loose) if (!read.has(name)) throw unreadable.get(name);
}

type Entries = { key: string; value: string }[];

const recordOf = (entries: Entries = []): Record<string, string> =>
  Object.fromEntries(entries.map(({ key, value }) => [key, value]));

const entriesOf = (record: Readonly<Record<string, string>>): Entries =>
  Object.entries(record).map(([key, value]) => ({ key, value }));

/** Nodes with names of their own: the file's where there is one, numbered where it is taken. */
function readNodes(nodes: readonly ProtoNode[], reading: GraphReading): ModelNode[] {
  const counts = new Map<string, number>();
  return nodes.map((node, index) => {
    const wish = node.name || `${node.opType}_${index}`;
    let name = wish;
    for (let i = counts.get(wish) ?? 1; counts.has(name); i++) {
      name = `${wish}_${i + 1}`;
      counts.set(wish, i + 1);
    }
    counts.set(name, 1);
    const outputs = node.output ?? [];
    const attributes: Record<string, Attribute> = {};
    const subgraphs: Record<string, Subgraph> = {};
    attempt(outputs, reading.unreadable, () => {
      if (!node.opType) throw new Error(`node without op: ${name}`);
      for (const a of node.attribute ?? []) {
        if (a.type === attributeTypes.graph) subgraphs[a.name] = readSubgraph(a.g ?? {}, reading);
        else attributes[a.name] = readAttribute(a, name, reading.from);
      }
    });
    return {
      name,
      domain: domainOf(node.domain),
      op: node.opType ?? "",
      inputs: node.input ?? [],
      outputs,
      attributes,
      ...scopeOf(node),
      ...(Object.keys(subgraphs).length > 0 && { subgraphs }),
    };
  });
}

/** A graph that a node holds, read as far as it can be. */
function readSubgraph(graph: ProtoGraph, { from, functions }: GraphReading): Subgraph {
  const unreadable = new Map<string, Error>();
  const reading = { from, functions, unreadable };
  return {
    inputs: (graph.input ?? []).map(({ name }) => name),
    outputs: (graph.output ?? []).map(({ name }) => name),
    initializers: readInitializers(graph, reading),
    nodes: readNodes(inlined(graph.node ?? [], functions, unreadable), reading),
    unreadable,
  };
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
    // exporters write 0 and -1 for what they do not know
    if (size <= 0) return null;
    if (!Number.isSafeInteger(size)) throw new Error(`tensor too large: ${value.name} [${size}]`);
    return size;
  });
  return { name: value.name, dtype: dtypeOfNumber(type.elemType ?? 0, value.name), dims };
}

/** An output may lack its type. */
const readOutput = (value: ProtoValue): ModelValue =>
  value.type ? readInput(value) : { name: value.name, dtype: "float32", dims: [] };

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
