import { type KernelSource, named } from "./kernel.js";

const threads = 256;

/** Rows of bytes that lie apart from each other: `pitch` bytes from one row's start to the next one's. */
export interface Rows {
  readonly count: number;
  readonly width: number;
  readonly fromPitch: number;
  readonly toPitch: number;
}

/** Types of so many bytes. */
const units = [
  [16, "mutwo_four<unsigned>"],
  [8, "unsigned long long"],
  [4, "unsigned"],
  [2, "unsigned short"],
  [1, "unsigned char"],
] as const;

/**
 * CUDA C of a copy of rows, for so many short ones that the driver's copy takes long. `alignment`: bytes of which both
 * addresses are multiples. Parameters: from, to.
 */
export function copyRowsSource(
  { count, width, fromPitch, toPitch }: Rows,
  alignment: number,
  multiprocessors: number,
): KernelSource {
  const fits = ([bytes]: (typeof units)[number]): boolean =>
    [alignment, width, fromPitch, toPitch].every((distance) => distance % bytes === 0);
  const [bytes, unit] = units.find(fits) ?? units[4];
  const [inRow, from, to] = [width / bytes, fromPitch / bytes, toPitch / bytes];
  const size = count * inRow;
  const index = Math.max(size, count * from, count * to) < 2 ** 31 ? "unsigned" : "unsigned long long";
  return named(
    (name) => `extern "C" __global__ void __launch_bounds__(${threads}) ${name}(const ${unit}* from, ${unit}* to) {
  for (${index} i = blockIdx.x * (${index})${threads} + threadIdx.x; i < ${size}; i += gridDim.x * (${index})${threads}) {
    const ${index} row = i / ${inRow}u, at = i % ${inRow}u;
    to[row * ${to}u + at] = from[row * ${from}u + at];
  }
}
`,
    Math.max(1, Math.min(Math.ceil(size / threads), multiprocessors * 32)),
    threads,
  );
}
