/*
 * An ONNX file as protobuf lays it out, so that some of its bytes can be changed and all others stay as they are, those of
 * fields that nobody here knows too. Field numbers: onnx.proto.
 */

/** A length-delimited field around something: where its length is written, and where its content begins and ends. */
export interface Frame {
  readonly lengthAt: number;
  readonly begin: number;
  readonly end: number;
}

/** A run of bytes. */
export interface Span {
  readonly begin: number;
  readonly end: number;
}

/** An entry of a tensor's external data: `location`, `offset`, `length`. */
export interface ExternalEntry {
  readonly value: string;
  /** Where the value stands, and what is around it. */
  readonly at: Span;
  readonly frames: readonly Frame[];
}

/** A tensor as it lies in the file. */
export interface WireTensor {
  /** Its own name, or that of what its Constant node makes; "" for others. */
  readonly name: string;
  /** It is an initializer of the model's graph, or made by a Constant node there: its name is no other's. */
  readonly isOfModel: boolean;
  /** Its message, and the frames around that message, its own last. */
  readonly message: Span;
  readonly frames: readonly Frame[];
  /** Little-endian elements in order; empty where they lie elsewhere, or as varints. */
  readonly data: readonly Span[];
  /** The fields with its elements, tags included: what a rewritten message leaves out. */
  readonly dataFields: readonly Span[];
  /** Of external data, by key; empty for others. */
  readonly external: ReadonlyMap<string, ExternalEntry>;
}

/** A node as it lies in the file, in whatever graph. */
export interface WireNode {
  readonly op: string;
  readonly domain: string;
  readonly frames: readonly Frame[];
  /** It stands in the model's graph. */
  readonly isOfModel: boolean;
  /** Its whole field, tag included. */
  readonly field: Span;
  /** Its first output's name. */
  readonly output: string;
  /** Its inputs' names. */
  readonly inputs: readonly Frame[];
  /** Its outputs' fields, tags included. */
  readonly outputs: readonly Span[];
  /** The numbers of attributes of one whole number, by name. */
  readonly numbers: ReadonlyMap<string, Span>;
}

/** All nodes and tensors of a file, and the frame of its graph. */
export interface WireModel {
  readonly nodes: readonly WireNode[];
  readonly tensors: readonly WireTensor[];
  readonly graph: Frame | undefined;
  /** Names of the graph's inputs. */
  readonly inputs: ReadonlySet<string>;
}

interface Field extends Span {
  readonly number: number;
  readonly type: number;
  /** Where its tag begins. */
  readonly tagAt: number;
  readonly lengthAt: number;
}

/** The fields of a message one after the other. Throws RangeError where they do not end with it. */
function* fieldsIn(bytes: Uint8Array, { begin, end }: Span): Generator<Field> {
  let at = begin;
  const varint = (): number => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = bytes[at++];
      if (byte === undefined || at > end) throw new RangeError("a field ends too late");
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
    }
  };
  while (at < end) {
    const tagAt = at;
    const tag = varint();
    const [number, type] = [Math.floor(tag / 8), tag % 8];
    const lengthAt = at;
    let size = 0;
    if (type === 0) varint();
    else if (type === 1) size = 8;
    else if (type === 2) size = varint();
    else if (type === 5) size = 4;
    else throw new RangeError(`a field of type ${type}`);
    const from = type === 0 ? lengthAt : at;
    if (type !== 0) at += size;
    if (at > end) throw new RangeError("a field ends too late");
    yield { number, type, tagAt, lengthAt, begin: from, end: at };
  }
}

const textOf = (bytes: Uint8Array, { begin, end }: Span): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset + begin, end - begin).toString("utf8");

/** Finds the tensors of a file. Throws RangeError for what is no protobuf. */
export function readWire(bytes: Uint8Array): WireModel {
  const reader = new WireReader(bytes);
  return { nodes: reader.nodes, tensors: reader.tensors, graph: reader.graph, inputs: reader.inputs };
}

class WireReader {
  readonly nodes: WireNode[] = [];
  readonly tensors: WireTensor[] = [];
  readonly inputs = new Set<string>();
  graph: Frame | undefined;

  constructor(private readonly bytes: Uint8Array) {
    for (const field of fieldsIn(bytes, { begin: 0, end: bytes.length })) {
      if (field.type !== 2) continue;
      if (field.number === 7) {
        this.graph = field;
        this.readGraph(field, [field], true);
      }
      if (field.number === 25)
        for (const node of this.inner(field)) if (node.number === 7) this.readNode(node, [field, node], false);
    }
  }

  private *inner(field: Field): Generator<Field> {
    for (const one of fieldsIn(this.bytes, field)) if (one.type === 2) yield one;
  }

  private readGraph(graph: Field, frames: readonly Frame[], isModel: boolean): void {
    for (const field of this.inner(graph)) {
      if (field.number === 1) this.readNode(field, [...frames, field], isModel);
      if (field.number === 5) this.readTensor(field, [...frames, field], isModel);
      if (field.number === 11 && isModel)
        for (const part of this.inner(field)) if (part.number === 1) this.inputs.add(textOf(this.bytes, part));
    }
  }

  private readNode(node: Field, frames: readonly Frame[], isModel: boolean): void {
    let [output, op, domain] = ["", "", ""];
    const attributes: Field[] = [];
    const inputs: Frame[] = [];
    const outputs: Span[] = [];
    for (const field of this.inner(node)) {
      if (field.number === 1) inputs.push(field);
      if (field.number === 2) {
        output ||= textOf(this.bytes, field);
        outputs.push({ begin: field.tagAt, end: field.end });
      }
      if (field.number === 4) op = textOf(this.bytes, field);
      if (field.number === 5) attributes.push(field);
      if (field.number === 7) domain = textOf(this.bytes, field);
    }
    const numbers = new Map(attributes.flatMap((attribute) => this.numberIn(attribute)));
    const field = { begin: node.tagAt, end: node.end };
    this.nodes.push({ op, domain, frames, isOfModel: isModel, field, output, inputs, outputs, numbers });
    const constant = op === "Constant" ? output : undefined;
    for (const attribute of attributes) this.readAttribute(attribute, [...frames, attribute], isModel, constant);
  }

  /** Name and place of the whole number that an attribute is. */
  private numberIn(attribute: Field): [string, Span][] {
    let name = "";
    let number: Field | undefined;
    for (const field of fieldsIn(this.bytes, attribute)) {
      if (field.number === 1 && field.type === 2) name = textOf(this.bytes, field);
      if (field.number === 3 && field.type === 0) number = field;
    }
    return number ? [[name, number]] : [];
  }

  private readAttribute(
    attribute: Field,
    frames: readonly Frame[],
    isModel: boolean,
    constant: string | undefined,
  ): void {
    const floats: Field[] = [];
    for (const field of fieldsIn(this.bytes, attribute)) {
      if (field.number === 2 && field.type === 5) floats.push(field);
      if (field.number === 7 && (field.type === 5 || field.type === 2)) floats.push(field);
      if (field.type !== 2) continue;
      if (field.number === 5 || field.number === 10)
        this.readTensor(field, [...frames, field], isModel && constant !== undefined, constant);
      if (field.number === 6 || field.number === 11) this.readGraph(field, [...frames, field], false);
    }
    if (constant !== undefined && floats.length)
      this.tensors.push({
        name: constant,
        isOfModel: isModel,
        message: attribute,
        frames,
        data: floats,
        dataFields: [],
        external: new Map(),
      });
  }

  private readTensor(tensor: Field, frames: readonly Frame[], isOfModel: boolean, constant?: string): void {
    let name = "";
    let raw: Field | undefined;
    const numbers: Field[] = [];
    const dataFields: Span[] = [];
    const external = new Map<string, ExternalEntry>();
    for (const field of fieldsIn(this.bytes, tensor)) {
      const { number, type } = field;
      if (number === 8 && type === 2) name = textOf(this.bytes, field);
      if (number === 9 && type === 2) raw = field;
      if ((number === 4 && type !== 0) || (number === 10 && type !== 0)) numbers.push(field);
      if ([4, 5, 7, 9, 10, 11].includes(number)) dataFields.push({ begin: field.tagAt, end: field.end });
      if (number === 13 && type === 2) this.readEntry(field, [...frames, field], external);
    }
    const data = raw && raw.end > raw.begin ? [raw] : numbers;
    this.tensors.push({
      name: constant ?? name,
      isOfModel,
      message: tensor,
      frames,
      data,
      dataFields,
      external,
    });
  }

  private readEntry(entry: Field, frames: readonly Frame[], external: Map<string, ExternalEntry>): void {
    let key = "";
    let value: Field | undefined;
    for (const field of this.inner(entry)) {
      if (field.number === 1) key = textOf(this.bytes, field);
      if (field.number === 2) value = field;
    }
    if (value) external.set(key, { value: textOf(this.bytes, value), at: value, frames: [...frames, value] });
  }
}
