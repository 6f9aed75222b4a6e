import { elementCount } from "../../../graph/graph.js";
import { type KernelSource, named } from "./kernel.js";

const threads = 256;

/** Blocks for each multiprocessor at most: enough to fill it several times over. */
const blocksPerMultiprocessor = 16;

/** C types of as many bytes as are moved together; the elements' own type does not matter. */
const units = [
  [16, "mutwo_four<unsigned>"],
  [8, "unsigned long long"],
  [4, "unsigned"],
  [2, "unsigned short"],
  [1, "unsigned char"],
] as const;

/** The most bytes that can be moved together where all these numbers of bytes, and addresses, are multiples of it. */
const unitFor = (multiples: readonly (number | bigint)[]) =>
  units.find(([bytes]) => multiples.every((n) => BigInt(n) % BigInt(bytes) === 0n)) as (typeof units)[number];

const gridOf = (count: number, multiprocessors: number): number =>
  Math.max(1, Math.min(Math.ceil(count / threads), multiprocessors * blocksPerMultiprocessor));

/** The type in which places are counted. */
const indexType = (count: number): string => (count >= 2 ** 31 ? "unsigned long long" : "unsigned");

/**
 * CUDA C that copies between rows of one tensor and the parts that lie side by side in them. Each row is `widths` bytes of
 * one part after the other. Parameters, joining: the parts, the whole; else: the whole, the parts.
 */
export function partsSource(
  rows: number,
  widths: readonly number[],
  joins: boolean,
  addresses: readonly bigint[],
  multiprocessors: number,
): KernelSource {
  const [bytes, type] = unitFor([...widths, ...addresses]);
  const wide = widths.map((width) => width / bytes);
  const row = wide.reduce((sum, width) => sum + width, 0);
  const count = rows * row;
  const index = indexType(count);
  let start = 0;
  const branches = wide.map((width, k) => {
    const place = `p${k}[r * ${width}u + c - ${start}u]`;
    start += width;
    return `if (c < ${start}u) ${joins ? `x[q] = ${place}` : `${place} = x[q]`};`;
  });
  const parts = wide.map((_, k) => `${joins ? "const " : ""}${type}* p${k}`);
  const whole = `${joins ? "" : "const "}${type}* x`;
  return named(
    (
      name,
    ) => `extern "C" __global__ void __launch_bounds__(${threads}) ${name}(${(joins ? [...parts, whole] : [whole, ...parts]).join(", ")}) {
  #pragma unroll 2
  for (${index} q = blockIdx.x * ${threads}u + threadIdx.x; q < ${count}u; q += gridDim.x * ${threads}u) {
    const ${index} r = q / ${row}u, c = q % ${row}u;
    ${branches.join("\n    else ")}
  }
}
`,
    gridOf(count, multiprocessors),
    threads,
  );
}

/** A tensor of that shape with `begin` and `end` elements more on the sides of its axes; fewer where they are negative. */
export interface Padding {
  readonly shape: readonly number[];
  readonly begin: readonly number[];
  readonly end: readonly number[];
  /** The bytes of what stands around, one element. */
  readonly filler: Uint8Array;
}

/** CUDA C that pads a tensor with a constant. Parameters: input, output. */
export function padSource(
  { shape, begin, end, filler }: Padding,
  addresses: readonly bigint[],
  multiprocessors: number,
): KernelSource {
  const axes = mergedAxes(shape, begin, end);
  const last = axes.at(-1) as Axis;
  const isZero = filler.every((byte) => byte === 0);
  // several elements are moved together if they are all padding or all are not
  const inner = [last.size, last.begin, last.end].map((n) => Math.abs(n) * filler.length);
  const [bytes, type] = unitFor([...(isZero ? inner : [filler.length]), ...addresses]);
  const scale = bytes / filler.length;
  const scaled = axes.with(-1, { size: last.size / scale, begin: last.begin / scale, end: last.end / scale });
  const count = elementCount(scaled.map(({ size, begin, end }) => size + begin + end));
  const bits = filler.reduceRight((sum, byte) => sum * 256n + BigInt(byte), 0n);
  const none = isZero ? "{}" : `{(${type})0x${bits.toString(16)}ull}`;
  const index = indexType(Math.max(count, elementCount(shape)));
  const lines: string[] = [];
  let below = 1;
  [...scaled].reverse().forEach(({ size, begin, end }, i, all) => {
    const whole = size + begin + end;
    const coordinate = i === all.length - 1 ? "left" : `left % ${whole}u`;
    lines.push(`const ${index} c${i} = ${coordinate} - ${begin};`);
    if (i < all.length - 1) lines.push(`left /= ${whole}u;`);
    // below zero is far above the size
    if (begin || end) lines.push(`inside = inside && c${i} < ${size}u;`);
    lines.push(`at += c${i} * ${below}u;`);
    below *= size;
  });
  return named(
    (name) => `extern "C" __global__ void __launch_bounds__(${threads}) ${name}(const ${type}* x, ${type}* y) {
  const ${type} none${none};
  #pragma unroll 2
  for (${index} q = blockIdx.x * ${threads}u + threadIdx.x; q < ${count}u; q += gridDim.x * ${threads}u) {
    ${index} left = q, at = 0;
    bool inside = true;
    ${lines.join("\n    ")}
    y[q] = inside ? x[at] : none;
  }
}
`,
    gridOf(count, multiprocessors),
    threads,
  );
}

interface Axis {
  readonly size: number;
  readonly begin: number;
  readonly end: number;
}

/** The axes of a padded tensor; one that is not padded is one with the axis before it. */
function mergedAxes(shape: readonly number[], begin: readonly number[], end: readonly number[]): Axis[] {
  const axes: Axis[] = [{ size: 1, begin: 0, end: 0 }];
  shape.forEach((size, axis) => {
    const own = { size, begin: begin[axis] as number, end: end[axis] as number };
    const before = axes.at(-1) as Axis;
    if (own.begin || own.end) axes.push(own);
    else axes[axes.length - 1] = { size: before.size * size, begin: before.begin * size, end: before.end * size };
  });
  return axes;
}
