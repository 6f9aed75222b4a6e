import type { DType } from "../../../graph/graph.js";
import { computeTypes, literal } from "./expressions.js";
import { type KernelSource, memoryTypes } from "./kernel.js";
import {
  type ChannelShape,
  finishKernel,
  gridOf,
  hasSeveral,
  partsBytes,
  read,
  stateOf,
  sumsKernel,
  vectors,
} from "./norm-kernels.js";

/** Sums over the elements of each channel in parts, and what is made of them. */
interface StatisticsSource {
  readonly sums: KernelSource;
  readonly finish: KernelSource;
  readonly partsBytes: number;
}

/** Which running statistics a norm renews: momentum·before + (1 − momentum)·batch's, of the biased variance. */
export interface Renewed {
  readonly momentum: number;
  readonly mean: boolean;
  readonly variance: boolean;
}

/** Element types of X and of the vectors of channels. */
interface NormTypes {
  readonly x: DType;
  readonly vector: DType;
}

type State = ReturnType<typeof stateOf>;

/**
 * CUDA C of a batch's mean and 1/√(variance + epsilon) for each channel. Parameters of `sums`: X, parts; of `finish`:
 * parts, X, mean and invStd, then, of what is renewed, the running value and the renewed one. The order of additions is
 * fixed, so the bits are the same each time on GPUs with that many multiprocessors. The variance is that of the elements
 * about one of them (shifted data; Chan, Golub and LeVeque, 1983): a channel far from 0 keeps its digits.
 */
export function statisticsSource(
  over: ChannelShape,
  types: NormTypes,
  epsilon: number,
  renewed: Renewed,
): StatisticsSource {
  const { before, after } = over.shape;
  const grid = gridOf(over);
  const memory = memoryTypes[types.x] as string;
  const compute = computeTypes[types.x] as string;
  const { given, made, value, store } = vectors(types.vector);
  const count = literal("float64", before * after);
  const [channel, several] = hasSeveral(grid) ? ["(c + e)", true] : ["c", false];
  const originOf = (c: string): string => read(types.x, "x", `${c} * ${after}u`);
  const [a, b, k] = ["a", "b", "k"].map((name) => stateOf(grid, compute, name)) as [State, State, State];
  const add = (element: string): string =>
    `{ const ${compute} d = ${element} - ${k.at}; ${a.at} = ${a.at} + d; ${b.at} = ${b.at} + d * d; }`;
  const four = `mutwo_four<${memory}>`;
  // each thread sums about its own first element: (x − k), then in double about the channel's first, shift = k − K
  const shift = `((double)${k.at} - (double)${originOf(channel)})`;
  const sums = sumsKernel(over, grid, {
    parameters: `const ${memory}* x`,
    begin: [a, b, k].map(({ declared }) => declared),
    each: [
      `      if (count == 0u) ${several ? "for (int e = 0; e < 4; e++) " : ""}${k.at} = ${read(types.x, "x", several ? "i0 + e" : "i0")};`,
      ...(grid.width === 1
        ? [`      ${add(read(types.x, "x", "i0"))}`]
        : [
            `      const ${four} x_4 = *(const ${four}*)(x + i0);`,
            "      #pragma unroll",
            `      for (int e = 0; e < 4; e++) ${add(`mutwo_in<${compute}>(x_4.v[e])`)}`,
          ]),
    ],
    sums: [
      `(double)${a.at} + (double)count * ${shift}`,
      `(double)${b.at} + ${shift} * (2.0 * (double)${a.at} + (double)count * ${shift})`,
    ],
  });
  const blend = (running: string, output: string, batch: string): string =>
    store(
      output,
      `${literal("float64", renewed.momentum)} * ${value(running)} + ${literal("float64", 1 - renewed.momentum)} * ${batch}`,
    );
  const finish = finishKernel(over, grid, {
    parameters: [
      `const ${memory}* x`,
      made("mean"),
      made("inverse"),
      ...(renewed.mean ? [given("oldMean"), made("newMean")] : []),
      ...(renewed.variance ? [given("oldVariance"), made("newVariance")] : []),
    ].join(", "),
    code: [
      `    const double off = first / ${count}, middle = (double)${originOf("c")} + off;`,
      `    const double spread = second / ${count} - off * off, variance = spread > 0.0 || spread != spread ? spread : 0.0;`,
      store("mean", "middle"),
      store("inverse", `1.0 / sqrt(variance + ${literal("float64", epsilon)})`),
      ...(renewed.mean ? [blend("oldMean", "newMean", "middle")] : []),
      ...(renewed.variance ? [blend("oldVariance", "newVariance", "variance")] : []),
    ].join("\n"),
  });
  return { sums, finish, partsBytes: partsBytes(over, grid) };
}

/** Sums over the elements of each channel that a fused node may hold. */
export interface ChannelSums {
  /** Inputs whose values the two terms of an element are made of, in that order. */
  readonly elements: readonly number[];
  /** The two terms of an element, given those values, to be summed in their own precision. */
  readonly terms: (values: readonly string[]) => readonly [string, string];
  /** Vectors that are read when the sums are known. */
  readonly finishing: readonly number[];
  /** What each output is of `first` and `second`, in double, given those vectors and the number of elements. */
  readonly outputs: (vectors: readonly string[], count: string) => readonly string[];
}

/** All of them by their ops. */
export const channelSums: Readonly<Record<string, ChannelSums>> = {
  // (dY, X, scale, mean, invStd) → (slope, tilt, level, dScale, dB), as the op's record says
  BatchNormalizationGradientSums: {
    elements: [0, 1, 3],
    terms: ([dy, x, mean]) => [dy as string, `${dy} * (${x} - ${mean})`],
    finishing: [2, 4],
    outputs: ([scale, inverse], count) => [
      `${scale} * ${inverse}`,
      `-(${scale} * ${inverse}) * ${inverse} * ${inverse} * second / ${count}`,
      `-(${scale} * ${inverse}) * first / ${count}`,
      `${inverse} * second`,
      "first",
    ],
  },
};
