import { NodeError } from "../graph/errors.js";
import type { Emit } from "./emit.js";
import { inputSize, type Traits } from "./kinds.js";
import { math } from "./math.js";
import type { GradientCall, OpCall } from "./op.js";
import { reduceTo, reshape } from "./shapes.js";

/** Mean over axes, which stay as ones. */
const meanOver = (b: Emit, x: string, axes: readonly number[]): string => b.op("ReduceMean", [x, b.vector(axes)]);

/** The axes of a tensor of that rank from `first` on. */
export const axesFrom = (first: number, rank: number): number[] =>
  Array.from({ length: Math.max(0, rank - first) }, (_, i) => first + i);

/** What is added to a variance before its root is taken. */
export const epsilonOf = (call: Pick<OpCall, "float">, otherwise = 1e-5): number => call.float("epsilon", otherwise);

/** The mean over the axes, x − mean, and one over its standard deviation. */
export function centre(
  b: Emit,
  x: string,
  axes: readonly number[],
  epsilon: number,
): { mean: string; centred: string; inverse: string } {
  const m = math(b);
  const mean = meanOver(b, x, axes);
  const centred = m.sub(x, mean);
  const variance = meanOver(b, m.square(centred), axes);
  return { mean, centred, inverse: m.reciprocal(m.sqrt(m.add(variance, epsilon))) };
}

/** One over the root of the mean square over the axes. */
export function inverseRms(b: Emit, x: string, axes: readonly number[], epsilon: number): string {
  const m = math(b);
  return m.reciprocal(m.sqrt(m.add(meanOver(b, m.square(x), axes), epsilon)));
}

/** Gradient through x̂ = (x − mean)·inverse: (g − mean g − x̂·mean(g·x̂))·inverse; without `centred`, mean g is left out. */
export function throughNormalized(
  b: Emit,
  g: string,
  hat: string,
  inverse: string,
  axes: readonly number[],
  centred = true,
): string {
  const m = math(b);
  const slope = meanOver(b, m.mul(g, hat), axes);
  const level = centred ? m.sub(g, meanOver(b, g, axes)) : g;
  return m.mul(m.sub(level, m.mul(hat, slope)), inverse);
}

/** Gradients of X, scale and bias for Y = x̂·scale + bias, scale and bias broadcast against X under `shape`. */
export function affineGradients(
  call: GradientCall,
  dY: string,
  parts: {
    readonly hat: string;
    readonly scaleShape: readonly number[];
    /** dX from the gradient of x̂. */
    readonly through: (g: string) => string;
  },
): (string | undefined)[] {
  const { b } = call;
  const m = math(b);
  const toVector = (gradient: string, index: number): string =>
    reshape(b, reduceTo(b, gradient, parts.scaleShape), call.input(index).shape);
  const dScale = call.wants(1) ? toVector(m.mul(dY, parts.hat), 1) : undefined;
  const dBias = call.inputs[2] && call.wants(2) ? toVector(dY, 2) : undefined;
  const scaled = (): string => m.mul(dY, reshape(b, call.x(1), parts.scaleShape));
  return [call.wants(0) ? parts.through(scaled()) : undefined, dScale, dBias];
}

/** Refuses gradients of the statistics that a normalization hands out beside Y. */
export function onlyY(call: GradientCall): void {
  if (call.dy(1) || call.dy(2)) throw new NodeError(`no gradient: statistics of ${call.node.op}`, call.node);
}

/** Traits of a normalization of input 0 whose results input 1 scales. */
export const normalizing: Traits = {
  flops: (call) => 8 * inputSize(call),
  scales: [1],
  holds: { 1: "weight", 2: "weight" },
};
