import { type DType, elementCount } from "../../../graph/graph.js";
import type { Window } from "../../../ops/geometry.js";
import { computeTypes } from "./expressions.js";
import { type KernelSource, memoryTypes, named } from "./kernel.js";

const threads = 256;

const blocksFor = (count: number): number => Math.max(1, Math.ceil(count / threads));

/** Type of an index into tensors of so many elements: division by a constant takes several times as long in 64 bits. */
const indexType = (...counts: readonly number[]): string =>
  counts.every((count) => count < 2 ** 31) ? "unsigned" : "unsigned long long";

/** The coordinates of element `i` along spatial axes, as `at0`, `at1`, …, and the `plane` that it lies in. */
const coordinates = (index: string, spatial: readonly number[]): string[] => [
  `    ${index} rest = i;`,
  ...spatial.map((size, axis) => `    const int at${axis} = (int)(rest % ${size}u); rest /= ${size}u;`).reverse(),
  `    const ${index} plane = rest;`,
];

/** Index of an element in a plane of that size, given its coordinate along each axis. */
const placeIn = (index: string, spatial: readonly number[], at: (axis: number) => string): string =>
  spatial.reduce<string>((text, size, axis) => `(${text}) * ${size}u + (${index})${at(axis)}`, "plane");

/**
 * CUDA C of max pooling: the greatest element of each window, the first of equal ones; NaN if there is one. `shape` is
 * X's, `pooled` the spatial shape of Y. Parameters: X, Y and, if `indexed`, the indices into the flattened X.
 */
export function maxPoolSource(
  dtype: DType,
  shape: readonly number[],
  pooled: readonly number[],
  window: Window,
  indexed: boolean,
): KernelSource {
  const [memory, compute] = [memoryTypes[dtype], computeTypes[dtype]];
  const spatial = shape.slice(2);
  const count = elementCount([...shape.slice(0, 2), ...pooled]);
  const index = indexType(count, elementCount(shape));
  const loops = spatial.flatMap((size, axis) => [
    "    #pragma unroll",
    `    for (int k${axis} = 0; k${axis} < ${window.kernel[axis]}; k${axis}++) {`,
    `    const int x${axis} = at${axis} * ${window.strides[axis]} - ${window.pads[axis]} + k${axis} * ${window.dilations[axis]};`,
    `    if (x${axis} < 0 || x${axis} >= ${size}) continue;`,
  ]);
  const lines = [
    ...coordinates(index, pooled),
    `    ${compute} best = 0;`,
    "    long long where = -1;",
    ...loops,
    `      const ${index} place = ${placeIn(index, spatial, (axis) => `x${axis}`)};`,
    `      const ${compute} value = mutwo_in<${compute}>(x[place]);`,
    "      if (where < 0 || value > best || value != value) { best = value; where = (long long)place; }",
    `    ${"}".repeat(spatial.length)}`,
    `    y[i] = mutwo_out<${memory}>(best);`,
    ...(indexed ? ["    at[i] = where;"] : []),
  ];
  return named(
    (
      name,
    ) => `extern "C" __global__ void __launch_bounds__(${threads}) ${name}(const ${memory}* x, ${memory}* y${indexed ? ", long long* at" : ""}) {
  const ${index} i = (${index})blockIdx.x * ${threads}u + threadIdx.x;
  if (i < ${count}u) {
${lines.join("\n")}
  }
}
`,
    blocksFor(count),
    threads,
  );
}

/**
 * CUDA C of max pooling's gradient: each element of X gathers dY of those windows over it that it has won, in a fixed
 * order. `shape` is X's, `pooled` the spatial shape of dY. Parameters: dY, indices into the flattened X, dX.
 */
export function maxPoolGradientSource(
  dtype: DType,
  shape: readonly number[],
  pooled: readonly number[],
  window: Window,
): KernelSource {
  const memory = memoryTypes[dtype] as string;
  const compute = computeTypes[dtype] as string;
  const spatial = shape.slice(2);
  const count = elementCount(shape);
  const index = indexType(count, elementCount([...shape.slice(0, 2), ...pooled]));
  const lines = [...coordinates(index, spatial), `    ${compute} sum = 0;`];
  const loops: string[] = [];
  spatial.forEach((_, axis) => {
    const [pad, stride, dilation, kernel, outputs] = [
      window.pads[axis],
      window.strides[axis],
      window.dilations[axis],
      window.kernel[axis],
      pooled[axis],
    ] as [number, number, number, number, number];
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
    `      const ${index} o = ${placeIn(index, pooled, (axis) => `o${axis}`)};`,
    `      if (index[o] == (long long)i) sum = sum + mutwo_in<${compute}>(dy[o]);`,
    "    }",
    `    dx[i] = mutwo_out<${memory}>(sum);`,
  );
  return named(
    (
      name,
    ) => `extern "C" __global__ void __launch_bounds__(${threads}) ${name}(const ${memory}* dy, const long long* index, ${memory}* dx) {
  const ${index} i = (${index})blockIdx.x * ${threads}u + threadIdx.x;
  if (i < ${count}u) {
${lines.join("\n")}
  }
}
`,
    blocksFor(count),
    threads,
  );
}
