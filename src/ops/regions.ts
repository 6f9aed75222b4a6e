import { NodeError } from "../graph/errors.js";
import { float, int, ints, type TensorType, text } from "../graph/graph.js";
import type { Emit } from "./emit.js";
import { native, ofOutput0 } from "./kinds.js";
import { math } from "./math.js";
import type { GradientCall, OpCall, OpTable } from "./op.js";
import { cast, reshape, zeros } from "./shapes.js";

/** What RoiAlign's attributes and shapes say. */
interface Regions {
  readonly mode: "avg" | "max";
  /** Height and width of the output. */
  readonly pooled: readonly [number, number];
  /** Samples along each axis of a bin; 0: as many as the bin has elements. */
  readonly ratio: number;
  readonly scale: number;
  /** Corners are moved by half an element; else no region is smaller than one element. */
  readonly isHalfPixel: boolean;
  readonly count: number;
}

/** The most samples of all bins of all regions: kernels and gradients hold several numbers for each. */
const mostSamples = 2 ** 24;

/** Throws `shape mismatch: …`, `unsupported: …`, `RoiAlign takes … samples`. */
function regionsOf(call: OpCall): Regions {
  const [x, rois, batch] = [call.input(0).shape, call.input(1).shape, call.input(2).shape];
  if (x.length !== 4 || rois.length !== 2 || rois[1] !== 4 || batch.length !== 1 || batch[0] !== rois[0])
    throw new NodeError(`shape mismatch: regions [${rois}] with images [${batch}] of [${x}]`, call.node);
  const mode = call.text("mode", "avg");
  const coordinates = call.text("coordinate_transformation_mode", "half_pixel");
  if (mode !== "avg" && mode !== "max") throw new NodeError(`unsupported: RoiAlign mode=${mode}`, call.node);
  if (coordinates !== "half_pixel" && coordinates !== "output_half_pixel")
    throw new NodeError(`unsupported: RoiAlign coordinate_transformation_mode=${coordinates}`, call.node);
  const [height, width, ratio] = [
    call.int("output_height", 1),
    call.int("output_width", 1),
    call.int("sampling_ratio", 0),
  ];
  if (height < 1 || width < 1 || ratio < 0)
    throw new NodeError(`RoiAlign's output [${height},${width}] with sampling_ratio=${ratio} is none`, call.node);
  const count = rois[0] as number;
  const samples = count * height * width * Math.max(ratio, 1) ** 2;
  if (samples > mostSamples)
    throw new NodeError(`RoiAlign takes ${samples} samples, the most is ${mostSamples}`, call.node);
  return {
    mode,
    pooled: [height, width],
    ratio,
    scale: call.float("spatial_scale", 1),
    isHalfPixel: coordinates === "half_pixel",
    count,
  };
}

/** One of the two elements that a sample lies between along an axis: index and weight [regions, bins, samples]. */
interface Tap {
  readonly index: string;
  readonly weight: string;
}

/** The samples of an axis: their taps, how many there are in a bin at most, and one divided by their number [regions]. */
interface Samples {
  readonly taps: readonly Tap[];
  readonly most: number;
  readonly share: string | number;
}

/** Samples in a bin of each region of known corners. Throws where corners are computed, so that nobody knows how many. */
function adaptive(call: OpCall, regions: Regions, axis: 0 | 1): readonly number[] {
  const corners = call.constant(1);
  if (!corners)
    throw new NodeError("no gradient: RoiAlign sampling_ratio=0 of regions that are computed", call.node, {
      hint: "give it sampling_ratio=2, as detectors of torchvision do",
    });
  const near = 1 - axis;
  return Array.from({ length: regions.count }, (_, r) => {
    const extent = ((corners[4 * r + near + 2] as number) - (corners[4 * r + near] as number)) * regions.scale;
    return Math.max(0, Math.ceil((regions.isHalfPixel ? extent : Math.max(extent, 1)) / regions.pooled[axis]));
  });
}

/** Where the samples of rows (axis 0) or columns (axis 1) lie, and between which elements. */
function samplesOf(call: GradientCall, regions: Regions, axis: 0 | 1): Samples {
  const { b } = call;
  const m = math(b);
  const { count, pooled, ratio, scale, isHalfPixel } = regions;
  const { dtype } = call.input(1);
  const bins = pooled[axis];
  const size = call.input(0).shape[2 + axis] as number;
  const grids = ratio ? undefined : adaptive(call, regions, axis);
  const most = grids ? Math.max(1, ...grids) : ratio;
  const edge = (from: number): string => {
    const corner = b.op("Slice", [call.x(1), b.vector([from]), b.vector([from + 1]), b.vector([1])]);
    const scaled = m.mul(reshape(b, corner, [count, 1, 1]), scale);
    return isHalfPixel ? m.sub(scaled, 0.5) : scaled;
  };
  const [low, high] = [edge(1 - axis), edge(3 - axis)];
  const whole = m.sub(high, low);
  const extent = isHalfPixel ? whole : b.op("Max", [whole, b.scalar(1, whole)]);
  // places of the samples, in bins
  const rows = grids?.map((grid) => Math.max(1, grid)) ?? [most];
  const steps = rows.flatMap((grid) =>
    Array.from({ length: bins * most }, (_, i) => Math.floor(i / most) + ((i % most) + 0.5) / grid),
  );
  const places = b.constant(dtype, [rows.length, bins, most], steps);
  const at = m.add(low, m.mul(m.div(extent, bins), places));
  const inside = m.and(m.greaterOrEqual(at, -1), m.lessOrEqual(at, size));
  const used = grids
    ? m.and(
        inside,
        b.constant(
          "bool",
          [count, 1, most],
          grids.flatMap((grid) => Array.from({ length: most }, (_, i) => Number(i < grid))),
        ),
      )
    : inside;
  const place = b.op("Clip", [at, b.scalar(0, at), b.scalar(size - 1, at)]);
  const floor = m.floor(place);
  const part = m.sub(place, floor);
  const next = b.op("Min", [m.add(floor, 1), b.scalar(size - 1, floor)]);
  const share = grids
    ? b.constant(
        dtype,
        [count, 1, 1, 1, 1],
        rows.map((grid) => 1 / grid),
      )
    : 1 / most;
  return {
    most,
    share,
    taps: [
      { index: cast(b, floor, "int64"), weight: m.masked(used, m.sub(1, part)) },
      { index: cast(b, next, "int64"), weight: m.masked(used, part) },
    ],
  };
}

/** A tap's tensor [regions, bins, samples] of rows or columns among all points [regions, rows, samples, columns, samples]. */
const spread = (b: Emit, x: string, axis: 0 | 1): string => {
  const [count = 1, bins = 1, samples = 1] = b.type(x).shape;
  return reshape(b, x, axis === 0 ? [count, bins, samples, 1, 1] : [count, 1, 1, bins, samples]);
};

/**
 * dX of RoiAlign: each output element is the mean (or the greatest) of samples, and each sample a weighted sum of the four
 * elements around it. Regions have no gradient, as in torchvision.
 */
function imageGradient(call: GradientCall, dY: string): string {
  const { b } = call;
  const m = math(b);
  const regions = regionsOf(call);
  const { dtype, shape } = call.input(0);
  const [n = 1, channels = 1, height = 1, width = 1] = shape;
  const [rows, columns] = [samplesOf(call, regions, 0), samplesOf(call, regions, 1)];
  const points = [regions.count, regions.pooled[0], rows.most, regions.pooled[1], columns.most];
  const total = points.reduce((product, size) => product * size, 1);
  if (total > mostSamples)
    throw new NodeError(`RoiAlign takes ${total} samples, the most is ${mostSamples}`, call.node);
  const image = m.mul(reshape(b, call.x(2), [regions.count, 1, 1, 1, 1]), b.constant("int64", [], height * width));
  const corners = rows.taps.flatMap((row) =>
    columns.taps.map((column) => {
      const line = m.mul(spread(b, row.index, 0), b.constant("int64", [], width));
      const index = m.add(m.add(image, line), spread(b, column.index, 1));
      return {
        index: reshape(b, index, [total]),
        weight: m.mul(spread(b, row.weight, 0), spread(b, column.weight, 1)),
      };
    }),
  );
  // channels last: an index stands for all channels of an element
  const last = b.op("Transpose", [dY], { perm: ints([0, 2, 3, 1]) });
  const wide = reshape(b, last, [regions.count, regions.pooled[0], 1, regions.pooled[1], 1, channels]);
  const weightOf = (weight: string): string => reshape(b, weight, [...points, 1]);
  let shares: (weight: string, corner: number) => string;
  if (regions.mode === "avg") {
    const share =
      typeof rows.share === "number" ? rows.share * (columns.share as number) : m.mul(rows.share, columns.share);
    shares = (weight) => m.mul(weightOf(m.mul(weight, share)), wide);
  } else {
    const flat = reshape(b, b.op("Transpose", [call.x(0)], { perm: ints([0, 2, 3, 1]) }), [
      n * height * width,
      channels,
    ]);
    const values = corners.map(({ index, weight }) => {
      const taken = reshape(b, b.op("Gather", [flat, index], { axis: int(0) }), [...points, channels]);
      return m.mul(taken, weightOf(weight));
    });
    const best = b.op("ReduceMax", [b.op("Max", values), b.vector([2, 4])], { keepdims: int(1) });
    shares = (weight, corner) => m.masked(m.equal(values[corner] as string, best), m.mul(weightOf(weight), wide));
  }
  const sum = corners.reduce(
    (made, { index, weight }, corner) => {
      const parts = reshape(b, shares(weight, corner), [total, channels]);
      return b.op("ScatterND", [made, reshape(b, index, [total, 1]), parts], { reduction: text("add") });
    },
    zeros(b, { dtype, shape: [n * height * width, channels] }),
  );
  return b.op("Transpose", [reshape(b, sum, [n, height, width, channels])], { perm: ints([0, 3, 1, 2]) });
}

/** Regions of images brought to one size. */
export const regions: OpTable = {
  RoiAlign: native(
    (call): TensorType[] => {
      const { pooled, count } = regionsOf(call);
      return [{ dtype: call.input(0).dtype, shape: [count, call.input(0).shape[1] as number, ...pooled] }];
    },
    ofOutput0((call, dY) => [call.wants(0) ? imageGradient(call, dY) : undefined]),
    {
      types: { T1: 0, T2: 2 },
      buffers: { 1: "regions" },
      defaults: {
        mode: text("avg"),
        output_height: int(1),
        output_width: int(1),
        sampling_ratio: int(0),
        spatial_scale: float(1),
        coordinate_transformation_mode: text("half_pixel"),
      },
      flops: (call, outputs) => {
        const [, , height = 1, width = 1] = call.input(0).shape;
        const { ratio, pooled } = regionsOf(call);
        const samples = ratio ? ratio * ratio : Math.ceil(height / pooled[0]) * Math.ceil(width / pooled[1]);
        return 8 * samples * (outputs[0]?.shape ?? []).reduce((product, size) => product * size, 1);
      },
      // before opset 16 there was one way to place corners
      normalize: (call) =>
        call.opset >= 16 || call.node.attributes.coordinate_transformation_mode
          ? undefined
          : call.b.add("RoiAlign", [call.x(0), call.x(1), call.x(2)], {
              ...call.node.attributes,
              coordinate_transformation_mode: text("output_half_pixel"),
            }),
    },
  ),
};
