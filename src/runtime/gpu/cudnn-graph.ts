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
} as const satisfies Readonly<Record<string, readonly [number: number, type: AttributeType]>>;

type AttributeName = keyof typeof attributes;

/** Attributes of a convolution as an operation, by kind: numbers of alpha, beta, the convolution, its x, w and y. */
const operations = {
  forward: { alpha: 700, beta: 701, convolution: 702, w: 703, x: 704, y: 705 },
  input: { alpha: 706, beta: 707, convolution: 708, w: 709, x: 710, y: 711 },
  filter: { alpha: 712, beta: 713, convolution: 714, w: 715, x: 716, y: 717 },
} as const;

/** cudnnBackendNumericalNote_t. */
export const numericalNotes = {
  tensorCore: 0,
  downConvertsInputs: 1,
  reducedPrecisionReduction: 2,
  nondeterministic: 4,
} as const;

/** More than there are kinds of notes. */
const mostNotes = 32;

/** cudnnBackendHeurMode_t: by a decision tree, by a neural network, whatever works. */
const heuristicsModes = { A: 3, B: 1, fallback: 2 } as const;

export type HeuristicsMode = keyof typeof heuristicsModes;

/** An operand of an operation graph. */
export interface GraphTensor {
  readonly dims: readonly number[];
  /** In elements. */
  readonly strides: readonly number[];
}

/** A convolution as a graph of one operation. */
export interface GraphConvolution {
  readonly kind: keyof typeof operations;
  /** cudnnDataType_t of the operands, and of products and sums. */
  readonly dataType: number;
  readonly computeType: number;
  readonly x: GraphTensor;
  readonly w: GraphTensor;
  readonly y: GraphTensor;
  readonly padsBefore: readonly number[];
  readonly padsAfter: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  /** Bytes of which every operand's address is a multiple. */
  readonly alignment: number;
}

/** A way to compute a graph that a heuristic proposes. */
export interface Proposal {
  readonly configuration: Pointer;
  /** Number of the engine. */
  readonly engine: number;
  /** What its results depend on; see `numericalNotes`. */
  readonly notes: readonly number[];
}

/** A proposal made ready. */
export interface ExecutionPlan {
  readonly workspaceBytes: number;
  run(x: Pointer, w: Pointer, y: Pointer, workspace: Pointer): void;
  destroy(): void;
}

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
class Descriptors {
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

  /** A finished descriptor. */
  finished(kind: DescriptorKind, values: Readonly<Partial<Record<AttributeName, readonly (number | bigint)[]>>>): Pointer {
    const made = this.create(kind);
    for (const [name, list] of Object.entries(values)) this.set(made, name as AttributeName, ...list);
    return this.finalize(made);
  }

  /** Elements of an attribute, at most `asked`, which start as `start`. */
  get(from: Pointer, name: AttributeName, asked: number, start: readonly (number | bigint)[] = []): (number | bigint)[] {
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

/** Unique ids of the three operands. */
const ids = { x: 1, w: 2, y: 3 } as const;

/** A convolution described to cuDNN's graph interface (cudnn_graph.h). Throws `cuDNN: …` where it refuses. */
export class OperationGraph {
  private readonly descriptors: Descriptors;
  private readonly graph: Pointer;

  constructor(
    private readonly cudnn: Cudnn,
    convolution: GraphConvolution,
  ) {
    this.descriptors = new Descriptors(cudnn);
    try {
      this.graph = this.described(convolution);
    } catch (error) {
      this.destroy();
      throw error;
    }
  }

  /** What a heuristic proposes, the best in its opinion first. */
  proposals(mode: HeuristicsMode): Proposal[] {
    const { descriptors } = this;
    const heuristics = descriptors.finished("heuristics", {
      heuristicsGraph: [this.graph],
      heuristicsMode: [heuristicsModes[mode]],
    });
    const count = descriptors.count(heuristics, "heuristicsResults");
    const places = Array.from({ length: count }, () => descriptors.create("configuration"));
    const found = descriptors.get(heuristics, "heuristicsResults", count, places) as Pointer[];
    return found.map((configuration) => this.proposalOf(configuration));
  }

  /** Makes a proposal ready. Throws if the engine cannot do it after all. */
  plan({ configuration }: Proposal): ExecutionPlan {
    const { cudnn } = this;
    const own = new Descriptors(cudnn);
    try {
      const plan = own.finished("plan", { planHandle: [cudnn.handle], planConfiguration: [configuration] });
      const workspaceBytes = Number(own.get(plan, "planWorkspace", 1)[0] ?? 0);
      return {
        workspaceBytes,
        run(x, w, y, workspace) {
          const pack = new Descriptors(cudnn);
          try {
            const variantPack = pack.finished("variantPack", {
              packIds: [ids.x, ids.w, ids.y],
              packAddresses: [x, w, y],
              packWorkspace: [workspace],
            });
            cudnn.run("cudnnBackendExecute", plan, variantPack);
          } finally {
            pack.destroy();
          }
        },
        destroy: () => own.destroy(),
      };
    } catch (error) {
      own.destroy();
      throw error;
    }
  }

  destroy(): void {
    this.descriptors.destroy();
  }

  private proposalOf(configuration: Pointer): Proposal {
    const { descriptors } = this;
    const engine = descriptors.create("engine");
    descriptors.get(configuration, "configurationEngine", 1, [engine]);
    return {
      configuration,
      engine: Number(descriptors.get(engine, "engineIndex", 1)[0] ?? -1),
      notes: descriptors.get(engine, "engineNotes", mostNotes).map(Number),
    };
  }

  private described(one: GraphConvolution): Pointer {
    const { descriptors, cudnn } = this;
    const tensor = (name: keyof typeof ids): Pointer =>
      descriptors.finished("tensor", {
        tensorType: [one.dataType],
        tensorDimensions: one[name].dims,
        tensorStrides: one[name].strides,
        tensorId: [ids[name]],
        tensorAlignment: [one.alignment],
      });
    const [x, w, y] = [tensor("x"), tensor("w"), tensor("y")];
    const convolution = descriptors.finished("convolution", {
      computeType: [one.computeType],
      convolutionMode: [1], // cross-correlation
      spatialAxes: [one.strides.length],
      padsBefore: one.padsBefore,
      padsAfter: one.padsAfter,
      strides: one.strides,
      dilations: one.dilations,
    });
    const operation = descriptors.create(one.kind);
    const names = operations[one.kind];
    const set = (number: number, made: Pointer): void => descriptors.setNumbered(operation, number, "descriptor", [made]);
    set(names.convolution, convolution);
    set(names.x, x);
    set(names.w, w);
    set(names.y, y);
    descriptors.setNumbered(operation, names.alpha, "float", [1]);
    descriptors.setNumbered(operation, names.beta, "float", [0]);
    descriptors.finalize(operation);
    return descriptors.finished("graph", { graphHandle: [cudnn.handle], graphOperations: [operation] });
  }
}
