import { elementCount } from "../../graph/graph.js";
import type { Pointer } from "../ort-api.js";
import type { Gpu } from "./context.js";
import type { Convolution, ConvolutionSpec, KernelRecipe, Trial } from "./cudnn-convolutions.js";
import { type GroupedTile, groupedSource } from "./source/convolution.js";
import { type GroupedShape, hasLines, isNarrow } from "./source/convolution-lines.js";
import { filterGradientSource, splitsOf } from "./source/filter-gradient.js";
import type { KernelSource } from "./source/kernel.js";

/** What kernels of convolutions are compiled and launched with. */
export type KernelMeans = Pick<Gpu, "compiler" | "attends" | "cudnn"> & {
  readonly cuda: Pick<Gpu["cuda"], "multiprocessors">;
};

/** Kernels that compute a convolution one after another. */
interface Launches {
  readonly sources: readonly KernelSource[];
  readonly workspaceBytes: number;
}

/** Tiles of the convolution and its data gradient that are tried: each was the fastest of some on an H100. */
const tiles: readonly GroupedTile[] = [
  { positions: 128, channels: 64, warps: [2, 2] },
  { positions: 128, channels: 64, warps: [4, 2] },
];

/** The same for few channels, as those of pictures. */
const narrowTiles: readonly GroupedTile[] = [{ positions: 256, channels: 64, warps: [4, 2] }];

/** The same for a data gradient with strides: a block has the sums of all phases. */
const stridedTiles: readonly GroupedTile[] = [
  { positions: 64, channels: 64, warps: [2, 2] },
  { positions: 64, channels: 32, warps: [2, 2] },
];

/** Channels of a group are a multiple of this, but for the colours of pictures. */
const channelStep = 8;

/** Fewest channels that a group makes: blocks make 32 or more. */
const leastMade = 16;

/** A warp holds the sums of all elements of a window, and of all remainders of a stride. */
const [mostTaps, mostStride] = [9, 2];

/** Elements of a window for a few channels. */
const mostNarrowTaps = 64;

/** From more parts of a filters' gradient on half as many are tried too. */
const manySplits = 8;

/** Kernels count elements in 32 bits. */
const mostElements = 2 ** 30;

const pair = (list: readonly number[]): readonly [number, number] => [list[0] as number, list[1] as number];

/** The shape of a convolution for kernels of those in groups; undefined if they cannot compute it, or are not meant for it. */
export function groupedShape(spec: ConvolutionSpec): GroupedShape | undefined {
  const { kind, dtype, x, w, y, groups, channelsLast, alignment, tf32 } = spec;
  if (dtype !== "float32" || !tf32 || channelsLast || groups < 2 || alignment < 16 || x.length !== 4) return undefined;
  const [read, made] = kind === "input" ? [y, x] : [x, y];
  const shape: GroupedShape = {
    batch: x[0] as number,
    groups,
    channels: (read[1] as number) / groups,
    made: (made[1] as number) / groups,
    image: pair(read.slice(2)),
    result: pair(made.slice(2)),
    kernel: pair(w.slice(2)),
    pads: pair(spec.pads),
    strides: pair(spec.strides),
    dilations: pair(spec.dilations),
    ...(kind === "input" && { transposed: true }),
  };
  const taps = shape.kernel[0] * shape.kernel[1];
  const isFew = isNarrow(shape) && !shape.transposed;
  const isWhole = [isFew ? 0 : shape.channels, shape.made].every((count) => count % channelStep === 0);
  const isWide = shape.made >= leastMade;
  const isSmall = [x, w, y].every((one) => elementCount(one) < mostElements);
  return isWhole &&
    isWide &&
    isSmall &&
    taps <= (isFew ? mostNarrowTaps : mostTaps) &&
    Math.max(...shape.strides) <= mostStride &&
    hasLines(shape)
    ? shape
    : undefined;
}

/** The ways in which kernels can compute a convolution, by number. */
function launchesOf({ cuda }: KernelMeans, spec: ConvolutionSpec): Launches[] {
  const shape = groupedShape(spec);
  if (!shape) return [];
  if (spec.kind !== "filter") {
    const isStrided = shape.transposed && Math.max(...shape.strides) > 1;
    const known = isStrided ? stridedTiles : isNarrow(shape) ? narrowTiles : tiles;
    return known.map((tile) => ({ sources: [groupedSource(shape, tile)], workspaceBytes: 0 }));
  }
  const splits = splitsOf(shape, cuda.multiprocessors);
  // what many blocks make in parts is added up afterwards: fewer may be faster
  const all = splits > manySplits ? [splits, splits >> 1] : [splits];
  return all.map((count) => {
    const { first, second, workspaceBytes } = filterGradientSource(shape, count);
    return { sources: second ? [first, second] : [first], workspaceBytes };
  });
}

/** A convolution by kernels of ours. */
function convolutionBy(
  { compiler, cudnn }: KernelMeans,
  spec: ConvolutionSpec,
  { sources, workspaceBytes }: Launches,
  number: number,
  ms: number,
): Convolution {
  compiler?.compile(sources);
  let operands: readonly (readonly Pointer[])[] = [];
  const inStreams = new Map<Pointer, readonly (() => void)[]>();
  const launchesIn = (stream: Pointer): readonly (() => void)[] => {
    const known = inStreams.get(stream);
    if (known || !compiler) return known ?? [];
    const made = sources.map((source, i) => compiler.kernel(source).prepare(() => operands[i] ?? [], stream));
    inStreams.set(stream, made);
    return made;
  };
  return {
    workspaceBytes,
    ms,
    recipe: { by: "kernel", number },
    run(a, b, out, workspace) {
      const [x, w] = spec.kind === "input" ? [b, a] : [a, b];
      operands = workspaceBytes
        ? [
            [x, w, workspace],
            [workspace, out],
          ]
        : [[x, w, out]];
      for (const launch of launchesIn(cudnn.stream)) launch();
    },
    destroy: () => {},
  };
}

/** Sources of the kernels that are tried for a convolution, one list for each way. */
export const kernelSources = (means: KernelMeans, spec: ConvolutionSpec): readonly (readonly KernelSource[])[] =>
  means.compiler && means.attends ? launchesOf(means, spec).map(({ sources }) => sources) : [];

/** Names of those kernels: what was found without them is out of date. */
export const kernelNames = (means: KernelMeans, spec: ConvolutionSpec): readonly string[] =>
  kernelSources(means, spec).flatMap((sources) => sources.map(({ name }) => name));

/** Convolutions by kernels of ours, tried: those that run in the trial's workspace. */
export function kernelsOf(means: KernelMeans, spec: ConvolutionSpec, trial: Trial, best: number): Convolution[] {
  const { compiler, attends } = means;
  if (!compiler || !attends) return [];
  const all = launchesOf(means, spec);
  compiler.compile(all.flatMap(({ sources }) => sources));
  return all.flatMap((launches, number) => {
    if (launches.workspaceBytes > trial.bytes) return [];
    const made = convolutionBy(means, spec, launches, number, 0);
    return [{ ...made, ms: trial.time(made, best) }];
  });
}

/** A convolution by such kernels again; undefined where they are not there. */
export function kernelBy(
  means: KernelMeans,
  spec: ConvolutionSpec,
  { number }: KernelRecipe,
  ms: number,
): Convolution | undefined {
  const launches = means.compiler && means.attends ? launchesOf(means, spec)[number] : undefined;
  return launches && convolutionBy(means, spec, launches, number, ms);
}
