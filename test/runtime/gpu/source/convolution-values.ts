import type { GroupedShape } from "../../../../src/runtime/gpu/source/convolution-lines.js";

/** Windows of 3 × 3 that keep an image's size. */
export const plainShape: GroupedShape = {
  batch: 2,
  groups: 2,
  channels: 8,
  made: 24,
  image: [5, 6],
  result: [5, 6],
  kernel: [3, 3],
  pads: [1, 1],
  strides: [1, 1],
  dilations: [1, 1],
};

// convolutions in groups by their definition, in float64

/** Every product of a convolution: where its element of x, w and y lies. */
function* products(shape: GroupedShape): Generator<readonly [x: number, w: number, y: number]> {
  const { batch, groups, channels, made, image, result, kernel, pads, strides, dilations } = shape;
  for (let b = 0; b < batch; b++)
    for (let m = 0; m < groups * made; m++)
      for (let c = 0; c < channels; c++)
        for (let i = 0; i < result[0] * result[1]; i++)
          for (let tap = 0; tap < kernel[0] * kernel[1]; tap++) {
            const row = Math.floor(i / result[1]) * strides[0] - pads[0] + Math.floor(tap / kernel[1]) * dilations[0];
            const column = (i % result[1]) * strides[1] - pads[1] + (tap % kernel[1]) * dilations[1];
            if (row < 0 || row >= image[0] || column < 0 || column >= image[1]) continue;
            const channel = (b * groups + Math.floor(m / made)) * channels + c;
            yield [
              (channel * image[0] + row) * image[1] + column,
              (m * channels + c) * kernel[0] * kernel[1] + tap,
              (b * groups * made + m) * result[0] * result[1] + i,
            ];
          }
}

const add = (to: number[], at: number, value: number): void => {
  to[at] = (to[at] as number) + value;
};

const zeros = (count: number): number[] => new Array<number>(count).fill(0);

/** y */
export function convolved(shape: GroupedShape, x: readonly number[], w: readonly number[]): number[] {
  const { batch, groups, made, result } = shape;
  const y = zeros(batch * groups * made * result[0] * result[1]);
  for (const [i, j, k] of products(shape)) add(y, k, (x[i] as number) * (w[j] as number));
  return y;
}

/** Its gradients for dy. */
export function gradients(
  shape: GroupedShape,
  x: readonly number[],
  w: readonly number[],
  dy: readonly number[],
): { x: number[]; w: number[] } {
  const { batch, groups, channels, made, image, kernel } = shape;
  const dx = zeros(batch * groups * channels * image[0] * image[1]);
  const dw = zeros(groups * made * channels * kernel[0] * kernel[1]);
  for (const [i, j, k] of products(shape)) {
    add(dx, i, (w[j] ?? 0) * (dy[k] as number));
    add(dw, j, (x[i] ?? 0) * (dy[k] as number));
  }
  return { x: dx, w: dw };
}
