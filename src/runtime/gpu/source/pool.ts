import { type DType, elementCount } from "../../../graph/graph.js";
import type { Window } from "../../../ops/geometry.js";
import { computeTypes } from "./expressions.js";
import { type KernelSource, memoryTypes, named } from "./kernel.js";

const threads = 256;

/** A window over images, [N, C, …] or, with channels last, [N, …, C]; shapes are those with channels first. */
export interface Pooling {
  readonly dtype: DType;
  /** X's shape. */
  readonly shape: readonly number[];
  /** The spatial shape of Y. */
  readonly pooled: readonly number[];
  readonly window: Window;
  readonly channelsLast: boolean;
}

/** Text that takes an index apart: spatial places `at0`, …, and `plane`, the image and channel; with channels last, `c` too. */
function placesOf(spatial: readonly number[], channels: number, channelsLast: boolean): string[] {
  const lines = ["    long long rest = i;"];
  if (channelsLast) lines.push(`    const int c = (int)(rest % ${channels}); rest /= ${channels};`);
  for (let axis = spatial.length - 1; axis >= 0; axis--) {
    const size = spatial[axis] as number;
    lines.push(`    const int at${axis} = (int)(rest % ${size}); rest /= ${size};`);
  }
  return [...lines, `    const long long plane = ${channelsLast ? `(long long)rest * ${channels} + c` : "rest"};`];
}

/** The place of an element in memory, given names of its spatial places. */
function placeIn(spatial: readonly number[], name: string, channels: number, channelsLast: boolean): string {
  const inside = (from: string): string =>
    spatial.reduce<string>((text, size, axis) => `(${text}) * ${size} + ${name}${axis}`, from);
  return channelsLast ? `(${inside("(long long)rest")}) * ${channels} + c` : inside("plane");
}

/** Text of a window along an axis. */
const along = ({ window, shape, pooled }: Pooling, axis: number) => ({
  pad: window.pads[axis] as number,
  stride: window.strides[axis] as number,
  dilation: window.dilations[axis] as number,
  kernel: window.kernel[axis] as number,
  size: shape[axis + 2] as number,
  outputs: pooled[axis] as number,
});

/**
 * CUDA C of max pooling: each element of Y is the first of the greatest of its window, NaN if there is one. Parameters: X,
 * Y, and, if wanted, the indices of those elements in the flattened X with channels first.
 */
export function maxPoolSource(pooling: Pooling, withIndices: boolean): KernelSource {
  const { dtype, shape, pooled, channelsLast } = pooling;
  const [memory, compute] = [memoryTypes[dtype] as string, computeTypes[dtype] as string];
  const channels = shape[1] as number;
  const spatial = shape.slice(2);
  const count = elementCount([...shape.slice(0, 2), ...pooled]);
  const loops = spatial.map((_, axis) => {
    const { pad, stride, dilation, kernel, size } = along(pooling, axis);
    const place = `const int in${axis} = at${axis} * ${stride} - ${pad} + k${axis} * ${dilation};`;
    return `    for (int k${axis} = 0; k${axis} < ${kernel}; k${axis}++) { ${place} if (in${axis} < 0 || in${axis} >= ${size}) continue;`;
  });
  const flat = placeIn(spatial, "in", channels, false);
  const lines = [
    ...placesOf(pooled, channels, channelsLast),
    `    ${compute} best = 0;`,
    "    long long winner = -1;",
    ...loops,
    `      const ${compute} value = mutwo_in<${compute}>(x[${placeIn(spatial, "in", channels, channelsLast)}]);`,
    `      if (winner < 0 || value > best || value != value) { best = value; winner = ${flat}; }`,
    `    ${"}".repeat(loops.length)}`,
    `    y[i] = mutwo_out<${memory}>(best);`,
    ...(withIndices ? ["    index[i] = winner;"] : []),
  ];
  const parameters = `const ${memory}* x, ${memory}* y${withIndices ? ", long long* index" : ""}`;
  return each(parameters, lines, count);
}

/**
 * CUDA C of average pooling: each element of Y is the sum of its window's elements by their number, or, with `countsPads`,
 * by that of the places in the padded image. Parameters: X, Y.
 */
export function averagePoolSource(pooling: Pooling, countsPads: boolean): KernelSource {
  const { dtype, shape, pooled, window, channelsLast } = pooling;
  const [memory, compute] = [memoryTypes[dtype] as string, computeTypes[dtype] as string];
  const channels = shape[1] as number;
  const spatial = shape.slice(2);
  const loops = spatial.map((_, axis) => {
    const { pad, stride, dilation, kernel, size } = along(pooling, axis);
    const after = window.pads[axis + spatial.length] as number;
    const place = `const int in${axis} = at${axis} * ${stride} - ${pad} + k${axis} * ${dilation};`;
    const bounds = countsPads ? `in${axis} >= ${size + after}` : `in${axis} < 0 || in${axis} >= ${size}`;
    return `    for (int k${axis} = 0; k${axis} < ${kernel}; k${axis}++) { ${place} if (${bounds}) continue;`;
  });
  const isWithin = spatial.map((size, axis) => `in${axis} >= 0 && in${axis} < ${size}`).join(" && ");
  const lines = [
    ...placesOf(pooled, channels, channelsLast),
    `    ${compute} sum = 0;`,
    "    int count = 0;",
    ...loops,
    "      count++;",
    `      ${countsPads ? `if (${isWithin}) ` : ""}sum = sum + mutwo_in<${compute}>(x[${placeIn(spatial, "in", channels, channelsLast)}]);`,
    `    ${"}".repeat(loops.length)}`,
    `    y[i] = mutwo_out<${memory}>(sum / (${compute})count);`,
  ];
  const count = elementCount([...shape.slice(0, 2), ...pooled]);
  return each(`const ${memory}* x, ${memory}* y`, lines, count);
}

/**
 * CUDA C of max pooling's gradient: each element of X gathers dY of those windows over it that it has won, in a fixed
 * order. Parameters: dY, indices into the flattened X with channels first, dX.
 */
export function maxPoolGradientSource(pooling: Pooling): KernelSource {
  const { dtype, shape, pooled, channelsLast } = pooling;
  const [memory, compute] = [memoryTypes[dtype] as string, computeTypes[dtype] as string];
  const channels = shape[1] as number;
  const spatial = shape.slice(2);
  const lines = placesOf(spatial, channels, channelsLast);
  lines.push(
    `    ${compute} sum = 0;`,
    `    const long long own = ${channelsLast ? placeIn(spatial, "at", channels, false) : "i"};`,
  );
  const loops: string[] = [];
  spatial.forEach((_, axis) => {
    const { pad, stride, dilation, kernel, outputs } = along(pooling, axis);
    const reach = (kernel - 1) * dilation;
    lines.push(
      `    const int first${axis} = at${axis} + ${pad} > ${reach} ? (at${axis} + ${pad - reach} + ${stride - 1}) / ${stride} : 0;`,
      `    const int last${axis} = min(${outputs - 1}, (at${axis} + ${pad}) / ${stride});`,
    );
    loops.push(`    for (int o${axis} = first${axis}; o${axis} <= last${axis}; o${axis}++)`);
  });
  lines.push(
    ...loops,
    "    {",
    `      const long long o = ${placeIn(pooled, "o", channels, channelsLast)};`,
    `      if (index[o] == own) sum = sum + mutwo_in<${compute}>(dy[o]);`,
    "    }",
    `    dx[i] = mutwo_out<${memory}>(sum);`,
  );
  const parameters = `const ${memory}* dy, const long long* index, ${memory}* dx`;
  return each(parameters, lines, elementCount(shape));
}

/** A kernel in which each thread makes one element, `i`. */
const each = (parameters: string, lines: readonly string[], count: number): KernelSource => {
  // dividing 64-bit numbers takes several times as long
  const index = count < 2 ** 31 ? "unsigned" : "long long";
  return named(
    (name) => `extern "C" __global__ void __launch_bounds__(${threads}) ${name}(${parameters}) {
  const ${index} i = (${index})blockIdx.x * ${threads} + threadIdx.x;
  if (i < ${count}) {
${lines.map((line) => line.replace("long long rest", `${index} rest`)).join("\n")}
  }
}
`,
    Math.max(1, Math.ceil(count / threads)),
    threads,
  );
};
