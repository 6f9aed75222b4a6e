import { type DType, is16Bit } from "../../graph/graph.js";
import type { Pointer } from "../ort-api.js";
import { type Cudnn, factors, ints, widened } from "./cudnn.js";
import type { HeuristicsMode } from "./cudnn-graph.js";

/** The three convolutions; operands in the order in which cuDNN names them: two inputs, then the output. */
const convolutions = {
  /** x, w → y */
  forward: "Forward",
  /** w, dy → dx */
  input: "BackwardData",
  /** x, dy → dw */
  filter: "BackwardFilter",
} as const;

export type ConvolutionKind = keyof typeof convolutions;

/** cudnnMathType_t: products in the type itself, or with inputs rounded to TF32 where the hardware has it. */
const fmaMath = 3;

const defaultMath = 0;

/** Without it products of 16-bit types do not use tensor cores. */
const tensorOpMath = 1;

export interface ConvolutionSpec {
  readonly kind: ConvolutionKind;
  readonly dtype: DType;
  /** Shapes of x, w and y, whichever of them is made; channels are axis 1. */
  readonly x: readonly number[];
  readonly w: readonly number[];
  readonly y: readonly number[];
  readonly pads: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly groups: number;
  /** In memory channels are the last axis of x, w and y. */
  readonly channelsLast?: true;
  /** Bytes of which the operands' addresses are multiples, at most 16. */
  readonly alignment: number;
  readonly tf32: boolean;
  readonly deterministic: boolean;
  /** How many run at the same time, each in a lane: what is fastest alone fills the device, and leaves no room. Default 1. */
  readonly beside?: number;
}

/** A convolution without what depends on where it runs. */
export type UnboundConvolution = Omit<ConvolutionSpec, "alignment" | "tf32" | "deterministic" | "beside">;

/** How a convolution is made again without a search. */
export type Recipe =
  /** An algorithm of the legacy interface, and cudnnMathType_t. */
  { readonly by: "algorithm"; readonly number: number; readonly math: number } | PlanRecipe | KernelRecipe;

/** A kernel of ours, by its number among those for the convolution. */
export interface KernelRecipe {
  readonly by: "kernel";
  readonly number: number;
}

/** A plan of the graph interface: a heuristic's proposal, by its place in the list. */
export interface PlanRecipe {
  readonly by: "plan";
  readonly heuristic: HeuristicsMode;
  readonly rank: number;
  readonly engine: number;
  /** The plan itself, of one whose kernel was compiled. */
  readonly text?: string | undefined;
}

/** One way to compute a convolution. */
export interface Convolution {
  readonly workspaceBytes: number;
  /** Time when it was tried, ms. */
  readonly ms: number;
  readonly recipe: Recipe;
  run(a: Pointer, b: Pointer, out: Pointer, workspace: Pointer): void;
  /** Gives back what it holds. */
  destroy(): void;
}

/** What a way is made again from. */
export type KeptWay = Pick<Convolution, "workspaceBytes" | "ms" | "recipe">;

/** Where convolutions are tried: operands in cuDNN's order, whose bytes may be anything (the output is overwritten). */
export interface Trial {
  readonly a: Pointer;
  readonly b: Pointer;
  readonly out: Pointer;
  readonly workspace: Pointer;
  /** Bytes of the workspace. */
  readonly bytes: number;
  /** Time of a convolution on them, ms; it may be rough where that is much more than `best`. */
  time(one: Pick<Convolution, "run" | "workspaceBytes">, best: number): number;
}

/** What cuDNN says of one algorithm for a convolution. */
export interface Algorithm {
  readonly number: number;
  /** 0 if it can run. */
  readonly status: number;
  readonly ms: number;
  readonly bytes: number;
  readonly deterministic: boolean;
  readonly math: number;
}

/** Length of cudnnConvolution…AlgoPerf_t, bytes. */
const performanceBytes = 48;

/** The first `count` of cuDNN's results, an array of cudnnConvolution…AlgoPerf_t. */
export function algorithmsIn(results: Uint8Array, count: number): Algorithm[] {
  const view = new DataView(results.buffer);
  return Array.from({ length: count }, (_, i) => {
    const at = performanceBytes * i;
    return {
      number: view.getInt32(at, true),
      status: view.getInt32(at + 4, true),
      ms: view.getFloat32(at + 8, true),
      bytes: Number(view.getBigUint64(at + 16, true)),
      deterministic: view.getInt32(at + 24, true) === 1,
      math: view.getInt32(at + 28, true),
    };
  });
}

/** Those that may be taken with a workspace of so many bytes, fastest first. */
export const usable = (algorithms: readonly Algorithm[], bytes: number, deterministic: boolean): Algorithm[] =>
  algorithms
    .filter((one) => one.status === 0 && one.bytes <= bytes && (one.deterministic || !deterministic))
    .sort((p, q) => p.ms - q.ms);

/** The fastest of some convolutions, fastest first, that takes at most so many bytes; the most modest one if all take more. */
export const affordable = <Candidate extends Pick<Convolution, "workspaceBytes">>(
  found: readonly Candidate[],
  limitBytes: number,
): Candidate =>
  (found.find(({ workspaceBytes }) => workspaceBytes <= limitBytes) ??
    [...found].sort((p, q) => p.workspaceBytes - q.workspaceBytes)[0]) as Candidate;

/** A convolution's descriptors: of itself, and of its three operands in cuDNN's order. */
interface Described {
  readonly convolution: Pointer;
  readonly a: Pointer;
  readonly b: Pointer;
  readonly out: Pointer;
}

function describe(cudnn: Cudnn, spec: ConvolutionSpec): Described {
  const { kind, dtype } = spec;
  const convolution = cudnn.create("Convolution");
  const pads = widened(spec.pads, 0);
  // 16-bit types compute in float32
  const computeType = dtype === "float64" ? cudnn.typeOf("float64") : cudnn.typeOf("float32");
  cudnn.call(
    "cudnnSetConvolutionNdDescriptor",
    convolution,
    pads.length,
    ints(pads),
    ints(widened(spec.strides, 1)),
    ints(widened(spec.dilations, 1)),
    1, // cross-correlation
    computeType,
  );
  cudnn.call("cudnnSetConvolutionGroupCount", convolution, spec.groups);
  const math = is16Bit(dtype) ? tensorOpMath : dtype === "float32" && !spec.tf32 ? fmaMath : defaultMath;
  cudnn.call("cudnnSetConvolutionMathType", convolution, math);
  const { channelsLast } = spec;
  const x = cudnn.tensor(dtype, spec.x, channelsLast);
  const [w, y] = [cudnn.filter(dtype, spec.w, channelsLast), cudnn.tensor(dtype, spec.y, channelsLast)];
  const [a, b, out] = kind === "forward" ? [x, w, y] : kind === "input" ? [w, y, x] : [x, y, w];
  return { convolution, a, b, out };
}

/** An algorithm of the legacy interface as one way to compute a convolution. */
export function algorithmBy(
  cudnn: Cudnn,
  spec: ConvolutionSpec,
  { number, math, ms, bytes }: Pick<Algorithm, "number" | "math" | "ms" | "bytes">,
  made = describe(cudnn, spec),
): Convolution {
  const [one, zero] = factors(spec.dtype);
  return {
    workspaceBytes: bytes,
    ms,
    recipe: { by: "algorithm", number, math },
    run(a, b, out, workspace) {
      cudnn.call("cudnnSetConvolutionMathType", made.convolution, math);
      cudnn.run(
        `cudnnConvolution${convolutions[spec.kind]}`,
        one,
        made.a,
        a,
        made.b,
        b,
        made.convolution,
        number,
        workspace,
        bytes,
        zero,
        made.out,
        out,
      );
    },
    destroy: () => {}, // its descriptors live as long as cuDNN is open
  };
}

/**
 * Times the algorithms of cuDNN's legacy interface for a convolution and returns those that run in the trial's workspace,
 * fastest first. Throws if none does.
 */
export function algorithmsOf(cudnn: Cudnn, spec: ConvolutionSpec, trial: Trial): readonly Convolution[] {
  const made = describe(cudnn, spec);
  const asked = 16;
  const results = new Uint8Array(new ArrayBuffer(asked * performanceBytes));
  const found = [0];
  cudnn.run(
    `cudnnFindConvolution${convolutions[spec.kind]}AlgorithmEx`,
    made.a,
    trial.a,
    made.b,
    trial.b,
    made.convolution,
    made.out,
    trial.out,
    asked,
    found,
    results,
    trial.workspace,
    trial.bytes,
  );
  const algorithms = usable(algorithmsIn(results, found[0] as number), trial.bytes, spec.deterministic);
  if (!algorithms.length)
    throw new Error(
      `cuDNN: no ${spec.kind} convolution for x [${spec.x}], w [${spec.w}] in a workspace of ${trial.bytes} bytes`,
    );
  return algorithms.map((one) => algorithmBy(cudnn, spec, one, made));
}
