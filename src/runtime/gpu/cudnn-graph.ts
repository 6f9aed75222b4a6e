import type { Pointer } from "../ort-api.js";
import type { Cudnn } from "./cudnn.js";
import { Descriptors } from "./cudnn-descriptors.js";

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

/** cudnnBackendBehaviorNote_t: the engine's kernel is compiled when a plan is made. */
const runtimeCompilation = 0;

/** cudnnBackendHeurMode_t: by a decision tree; whatever works. */
const heuristicsModes = { A: 3, fallback: 2 } as const;

export type HeuristicsMode = keyof typeof heuristicsModes;

/** In the order in which they are asked. */
export const heuristics = Object.keys(heuristicsModes) as readonly HeuristicsMode[];

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
  /** Its place in the heuristic's list, the best in its opinion first. */
  readonly rank: number;
  /** Number of the engine. */
  readonly engine: number;
  /** What its results depend on; see `numericalNotes`. */
  readonly notes: readonly number[];
  /** Whether its kernel is compiled first: tenths of a second. */
  readonly compiles: boolean;
}

/** A proposal made ready. */
export interface ExecutionPlan {
  readonly workspaceBytes: number;
  /** What `planFrom` makes the plan of again, compiled kernels and all. */
  text(): string;
  run(x: Pointer, w: Pointer, y: Pointer, workspace: Pointer): void;
  destroy(): void;
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

  /** What a heuristic proposes, looked at as it is asked for. */
  *proposals(heuristic: HeuristicsMode): Generator<Proposal> {
    const { descriptors } = this;
    const heuristics = descriptors.finished("heuristics", {
      heuristicsGraph: [this.graph],
      heuristicsMode: [heuristicsModes[heuristic]],
    });
    const count = descriptors.count(heuristics, "heuristicsResults");
    const places = Array.from({ length: count }, () => descriptors.create("configuration"));
    const found = descriptors.get(heuristics, "heuristicsResults", count, places) as Pointer[];
    for (const [rank, configuration] of found.entries()) yield this.proposal(configuration, rank);
  }

  /** Makes a proposal ready, once; the plan outlives the graph. Throws if the engine cannot do it after all. */
  plan({ configuration }: Proposal): ExecutionPlan {
    const { cudnn } = this;
    const own = new Descriptors(cudnn);
    this.descriptors.give(configuration, own);
    return planOf(cudnn, own, { planConfiguration: [configuration] });
  }

  destroy(): void {
    this.descriptors.destroy();
  }

  private proposal(configuration: Pointer, rank: number): Proposal {
    const { descriptors } = this;
    const engine = descriptors.create("engine");
    descriptors.get(configuration, "configurationEngine", 1, [engine]);
    return {
      configuration,
      rank,
      engine: Number(descriptors.get(engine, "engineIndex", 1)[0] ?? -1),
      notes: descriptors.get(engine, "engineNotes", mostNotes).map(Number),
      compiles: descriptors.get(engine, "engineBehavior", mostNotes).map(Number).includes(runtimeCompilation),
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
    const set = (number: number, made: Pointer): void =>
      descriptors.setNumbered(operation, number, "descriptor", [made]);
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

/** A plan of its text, which another process may have written. Throws `cuDNN: …` where cuDNN does not take it. */
export const planFrom = (cudnn: Cudnn, text: string): ExecutionPlan =>
  planOf(cudnn, new Descriptors(cudnn), { planText: [...Buffer.from(text)] });

/** A plan that owns some descriptors, made of what it is given. */
function planOf(
  cudnn: Cudnn,
  own: Descriptors,
  source: { readonly planConfiguration: readonly Pointer[] } | { readonly planText: readonly number[] },
): ExecutionPlan {
  try {
    const plan = own.finished("plan", { planHandle: [cudnn.handle], ...source });
    const workspaceBytes = Number(own.get(plan, "planWorkspace", 1)[0] ?? 0);
    return {
      workspaceBytes,
      text: () => Buffer.from(own.get(plan, "planText", own.count(plan, "planText")).map(Number)).toString(),
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
