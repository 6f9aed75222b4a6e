import { type DType, elementCount } from "../../../graph/graph.js";
import type { Window } from "../../../ops/geometry.js";
import { computeTypes } from "./expressions.js";
import { type KernelSource, memoryTypes, named } from "./kernel.js";

const threads = 256;

/**
 * CUDA C of max pooling's gradient: each element of X gathers dY of those windows over it that it has won, in a fixed
 * order. `shape` is X's, `pooled` the spatial shape of dY. Parameters: dY, indices into the flattened X, dX.
 */
export function maxPoolGradientSource(
  dtype: DType,
  shape: readonly number[],
  pooled: readonly number[],
  window: Window,
  multiprocessors: number,
): KernelSource {
  const memory = memoryTypes[dtype] as string;
  const compute = computeTypes[dtype] as string;
  const spatial = shape.slice(2);
  const count = elementCount(shape);
  const lines: string[] = ["    long long rest = i;"];
  for (let axis = spatial.length - 1; axis >= 0; axis--) {
    const size = spatial[axis] as number;
    lines.push(`    const int at${axis} = (int)(rest % ${size}); rest /= ${size};`);
  }
  lines.push(`    ${compute} sum = 0;`, "    const long long plane = rest;");
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
  const place = spatial.reduce<string>((text, _, axis) => `(${text}) * ${pooled[axis]} + o${axis}`, "plane");
  lines.push(
    ...loops,
    "    {",
    `      const long long o = ${place};`,
    `      if (index[o] == i) sum = sum + mutwo_in<${compute}>(dy[o]);`,
    "    }",
    `    dx[i] = mutwo_out<${memory}>(sum);`,
  );
  return named(
    (
      name,
    ) => `extern "C" __global__ void __launch_bounds__(${threads}) ${name}(const ${memory}* dy, const long long* index, ${memory}* dx) {
  for (long long i = blockIdx.x * ${threads}LL + threadIdx.x; i < ${count}LL; i += gridDim.x * ${threads}LL) {
${lines.join("\n")}
  }
}
`,
    Math.max(1, Math.min(Math.ceil(count / threads), multiprocessors * 32)),
    threads,
  );
}
