import type { Emit } from "./emit.js";
import { math } from "./math.js";

/** Φ(x), the normal distribution's share below x. */
const normalCdf = (b: Emit, x: string): string => {
  const m = math(b);
  return m.mul(m.add(m.erf(m.mul(x, Math.SQRT1_2)), 1), 0.5);
};

/** x·Φ(x). */
export const gelu = (b: Emit, x: string): string => math(b).mul(x, normalCdf(b, x));

/** Φ(x) + x·φ(x), times dY. */
export const geluGradient = (b: Emit, x: string, dY: string): string => {
  const m = math(b);
  const density = m.mul(m.exp(m.mul(m.square(x), -0.5)), 1 / Math.sqrt(2 * Math.PI));
  return m.mul(dY, m.add(normalCdf(b, x), m.mul(x, density)));
};

const tanhScale = Math.sqrt(2 / Math.PI);

const tanhCube = 0.044715;

/** tanh(√(2/π)·(x + 0.044715·x³)) */
const innerTanh = (b: Emit, x: string): string => {
  const m = math(b);
  return m.tanh(m.mul(x, m.add(m.mul(m.square(x), tanhScale * tanhCube), tanhScale)));
};

/** The same with ½(1 + tanh(√(2/π)·(x + 0.044715·x³))) in place of Φ. */
export const fastGelu = (b: Emit, x: string): string => {
  const m = math(b);
  return m.mul(m.mul(x, 0.5), m.add(innerTanh(b, x), 1));
};

/** ½(1 + t) + ½x·(1 − t²)·√(2/π)·(1 + 3·0.044715·x²), times dY, with t the inner tanh. */
export const fastGeluGradient = (b: Emit, x: string, dY: string): string => {
  const m = math(b);
  const t = innerTanh(b, x);
  const inner = m.add(m.mul(m.square(x), 1.5 * tanhScale * tanhCube), 0.5 * tanhScale);
  const slope = m.mul(m.mul(x, inner), m.sub(1, m.square(t)));
  return m.mul(dY, m.add(slope, m.add(m.mul(t, 0.5), 0.5)));
};
