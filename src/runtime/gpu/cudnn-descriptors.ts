import type { Pointer } from "../ort-api.js";
import type { Cudnn } from "./cudnn.js";

/** cudnnBackendDescriptorType_t (cudnn_graph.h). */
const descriptors = {
  convolution: 1,
  engine: 2,
  configuration: 3,
  heuristics: 4,
  plan: 5,
  forward: 10,
  filter: 11,
  input: 12,
  graph: 15,
  variantPack: 16,
  tensor: 17,
} as const;

type DescriptorKind = keyof typeof descriptors;

/** cudnnBackendAttributeType_t, and the arrays that hold elements of that type. */
const types = {
  handle: [0, BigUint64Array],
  dataType: [1, Int32Array],
  int64: [3, BigInt64Array],
  float: [4, Float32Array],
  double: [5, Float64Array],
  address: [6, BigUint64Array],
  convolutionMode: [7, Int32Array],
  heuristicsMode: [8, Int32Array],
  numericalNote: [11, Int32Array],
  descriptor: [15, BigUint64Array],
  behaviorNote: [19, Int32Array],
  char: [24, Uint8Array],
} as const;

type AttributeType = keyof typeof types;

/** cudnnBackendAttributeName_t: number and type of those that are used. */
const attributes = {
  computeType: [100, "dataType"],
  convolutionMode: [101, "convolutionMode"],
  dilations: [102, "int64"],
  strides: [103, "int64"],
  padsAfter: [104, "int64"],
  padsBefore: [105, "int64"],
  spatialAxes: [106, "int64"],
  heuristicsMode: [200, "heuristicsMode"],
  heuristicsGraph: [201, "descriptor"],
  heuristicsResults: [202, "descriptor"],
  configurationEngine: [300, "descriptor"],
  planHandle: [400, "handle"],
  planConfiguration: [401, "descriptor"],
  planWorkspace: [402, "int64"],
  planText: [405, "char"],
  graphHandle: [800, "handle"],
  graphOperations: [801, "descriptor"],
  tensorAlignment: [900, "int64"],
  tensorType: [901, "dataType"],
  tensorDimensions: [902, "int64"],
  tensorStrides: [903, "int64"],
  tensorId: [906, "int64"],
  packIds: [1000, "int64"],
  packAddresses: [1001, "address"],
  packWorkspace: [1003, "address"],
  engineIndex: [1301, "int64"],
  engineNotes: [1303, "numericalNote"],
  engineBehavior: [1305, "behaviorNote"],
} as const satisfies Readonly<Record<string, readonly [number: number, type: AttributeType]>>;

type AttributeName = keyof typeof attributes;

const arrayOf = (type: AttributeType, values: readonly (number | bigint)[]): Uint8Array => {
  const Kind = types[type][1];
  const isBig = Kind === BigInt64Array || Kind === BigUint64Array;
  const array = new Kind(new ArrayBuffer(Kind.BYTES_PER_ELEMENT * values.length));
  values.forEach((value, i) => {
    (array as { [at: number]: number | bigint })[i] = isBig ? BigInt(value) : Number(value);
  });
  return new Uint8Array(array.buffer);
};

/** Descriptors of cuDNN's graph interface, destroyed together. Every call throws `cuDNN: <what it says> (<call>)` if it fails. */
export class Descriptors {
  private readonly made: Pointer[] = [];

  constructor(private readonly cudnn: Cudnn) {}

  create(kind: DescriptorKind): Pointer {
    const made = this.cudnn.createBackend(descriptors[kind]);
    this.made.push(made);
    return made;
  }

  set(to: Pointer, name: AttributeName, ...values: readonly (number | bigint)[]): void {
    const [number, type] = attributes[name];
    this.setNumbered(to, number, type, values);
  }

  setNumbered(to: Pointer, number: number, type: AttributeType, values: readonly (number | bigint)[]): void {
    this.cudnn.call("cudnnBackendSetAttribute", to, number, types[type][0], values.length, arrayOf(type, values));
  }

  finalize(made: Pointer): Pointer {
    this.cudnn.call("cudnnBackendFinalize", made);
    return made;
  }

  /** Hands a descriptor over to others, which destroy it. */
  give(made: Pointer, to: Descriptors): void {
    this.made.splice(this.made.indexOf(made), 1);
    to.made.push(made);
  }

  /** A finished descriptor. */
  finished(
    kind: DescriptorKind,
    values: Readonly<Partial<Record<AttributeName, readonly (number | bigint)[]>>>,
  ): Pointer {
    const made = this.create(kind);
    for (const [name, list] of Object.entries(values)) this.set(made, name as AttributeName, ...list);
    return this.finalize(made);
  }

  /** Elements of an attribute, at most `asked`, which start as `start`. */
  get(
    from: Pointer,
    name: AttributeName,
    asked: number,
    start: readonly (number | bigint)[] = [],
  ): (number | bigint)[] {
    const [number, type] = attributes[name];
    const [typeNumber, Kind] = types[type];
    const count = [0];
    const bytes = arrayOf(type, asked ? [...start, ...new Array<number>(asked - start.length).fill(0)] : [0]);
    this.cudnn.call("cudnnBackendGetAttribute", from, number, typeNumber, asked, count, bytes);
    return [...new Kind(bytes.buffer as ArrayBuffer)].slice(0, Math.min(asked, Number(count[0])));
  }

  /** How many elements an attribute has. */
  count(from: Pointer, name: AttributeName): number {
    const [number, type] = attributes[name];
    const count = [0];
    this.cudnn.call("cudnnBackendGetAttribute", from, number, types[type][0], 0, count, null);
    return Number(count[0]);
  }

  destroy(): void {
    for (const made of this.made.reverse()) this.cudnn.destroyBackend(made);
    this.made.length = 0;
  }
}
