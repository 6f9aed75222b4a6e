import { computeTypes, literal } from "./expressions.js";
import type { KernelSource } from "./kernel.js";
import {
  applyKernel,
  elements,
  finishKernel,
  gridOf,
  type NormType,
  read,
  sumsKernel,
  vocabulary,
} from "./norm-kernels.js";

/** Sums over the batch in parts, what is made of them for each channel, and the pass over the elements. */
export interface NormSource {
  readonly sums: KernelSource;
  readonly finish: KernelSource;
  readonly apply?: KernelSource;
  /** Bytes of the parts. */
  readonly partsBytes: number;
}

/** Which running statistics a norm renews: momentum·before + (1 − momentum)·batch's, of the biased variance. */
export interface Renewed {
  readonly momentum: number;
  readonly mean: boolean;
  readonly variance: boolean;
}

/**
 * CUDA C of batch norm in training: Y = (X − mean)·scale·invStd + B with the batch's mean and 1/√(variance + epsilon).
 * Parameters of \`sums\`: X, parts; of \`finish\`: parts, X, mean and invStd, then, of what is renewed, the running value
 * and the renewed one; of \`apply\`: X, scale, B, mean, invStd, Y. The order of additions is fixed, so the bits are the same each
 * time on GPUs with that many multiprocessors. The variance is that of the elements about one of them (shifted data;
 * Chan, Golub and LeVeque, 1983): a channel far from 0 keeps its digits.
 */
export function normSource(type: NormType, epsilon: number, renewed: Renewed): NormSource {
  const { before, kept, after } = type.shape;
  const grid = gridOf(type);
  const { full, fullOut, given, made, load, store } = vocabulary(type);
  const compute = computeTypes[type.dtype] as string;
  const count = literal("float64", before * after);
  // each thread sums about its own first element: (x − k), then in double about the channel's first, shift = k − K
  const sums = sumsKernel(type, grid, {
    parameters: full("x"),
    begin: `    const double base = (double)${read(type.dtype, "x", `c * ${after}u`)};
    ${compute} k = 0;`,
    element: (at) =>
      `      if (count == 0u) k = ${read(type.dtype, "x", at)};\n${elements(type, grid, ["x"], `        const ${compute} d = x_v - k; a = a + d; b = b + d * d;`)}`,
    end: `    const double shift = (double)k - base, n = (double)count;
    first = (double)a + n * shift;
    second = (double)b + shift * (2.0 * (double)a + n * shift);`,
  });
  const blend = (running: string, output: string, batch: string): string =>
    store(
      output,
      `${literal("float64", renewed.momentum)} * (double)${read(type.vector, running, "c")} + ${literal("float64", 1 - renewed.momentum)} * ${batch}`,
    );
  const finish = finishKernel(
    type,
    grid,
    [
      full("x"),
      made("mean"),
      made("inverse"),
      ...(renewed.mean ? [given("oldMean"), made("newMean")] : []),
      ...(renewed.variance ? [given("oldVariance"), made("newVariance")] : []),
    ].join(", "),
    [
      `    const double off = first / ${count}, middle = (double)${read(type.dtype, "x", `c * ${after}u`)} + off;`,
      `    const double spread = second / ${count} - off * off, variance = spread > 0.0 || spread != spread ? spread : 0.0;`,
      store("mean", "middle"),
      store("inverse", `1.0 / sqrt(variance + ${literal("float64", epsilon)})`),
      ...(renewed.mean ? [blend("oldMean", "newMean", "middle")] : []),
      ...(renewed.variance ? [blend("oldVariance", "newVariance", "variance")] : []),
    ].join("\n"),
  );
  const apply = applyKernel(type, grid, {
    parameters: [full("x"), ...["scale", "bias", "mean", "inverse"].map(given), fullOut("y")].join(", "),
    output: "y",
    vectors: [
      ...["scale", "bias", "mean", "inverse"].map(load),
      `    const ${computeTypes[type.vector]} factor = scale_c * inverse_c;`,
    ].join("\n"),
    full: ["x"],
    value: "(x_v - mean_c) * factor + bias_c",
  });
  return { sums, finish, apply, partsBytes: 16 * grid.parts * kept };
}

/** Which gradients of a norm are wanted. */
export interface NormGradients {
  readonly dX: boolean;
  readonly dScale: boolean;
  readonly dBias: boolean;
}

/**
 * CUDA C of the gradient of batch norm in training: dB = Σ dY, dScale = invStd·Σ dY·(X − mean),
 * dX = scale·invStd·(dY − dB/n − (X − mean)·invStd·dScale/n). Parameters of \`sums\`: dY, X, mean, parts; of \`finish\`: parts,
 * scale, invStd, then three vectors of coefficients if dX is wanted, then those of dScale and dB that are; of \`apply\`
 * (present if dX is wanted): dY, X, mean, the coefficients, dX.
 */
export function normGradientSource(type: NormType, wanted: NormGradients): NormSource {
  const { before, kept, after } = type.shape;
  const grid = gridOf(type);
  const { full, fullOut, given, made, load, store } = vocabulary(type);
  const count = literal("float64", before * after);
  const sums = sumsKernel(type, grid, {
    parameters: [full("dy"), full("x"), given("mean")].join(", "),
    begin: load("mean"),
    element: () => elements(type, grid, ["dy", "x"], "        a = a + dy_v; b = b + dy_v * (x_v - mean_c);"),
    end: "    first = (double)a; second = (double)b;",
  });
  const coefficients = ["slope", "tilt", "level"];
  const finish = finishKernel(
    type,
    grid,
    [
      given("scale"),
      given("inverse"),
      ...(wanted.dX ? coefficients.map(made) : []),
      ...(wanted.dScale ? [made("dScale")] : []),
      ...(wanted.dBias ? [made("dBias")] : []),
    ].join(", "),
    [
      `    const double inv = (double)${read(type.vector, "inverse", "c")};`,
      ...(wanted.dX
        ? [
            `    const double factor = (double)${read(type.vector, "scale", "c")} * inv;`,
            store("slope", "factor"),
            store("tilt", `-factor * inv * inv * second / ${count}`),
            store("level", `-factor * first / ${count}`),
          ]
        : []),
      ...(wanted.dScale ? [store("dScale", "inv * second")] : []),
      ...(wanted.dBias ? [store("dBias", "first")] : []),
    ].join("\n"),
  );
  const partsBytes = 16 * grid.parts * kept;
  if (!wanted.dX) return { sums, finish, partsBytes };
  const apply = applyKernel(type, grid, {
    parameters: [full("dy"), full("x"), given("mean"), ...coefficients.map(given), fullOut("dx")].join(", "),
    output: "dx",
    vectors: ["mean", ...coefficients].map(load).join("\n"),
    full: ["dy", "x"],
    value: "slope_c * dy_v + (tilt_c * (x_v - mean_c) + level_c)",
  });
  return { sums, finish, apply, partsBytes };
}
