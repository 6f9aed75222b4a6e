import type { Emit } from "./emit.js";
import { math } from "./math.js";

/** Chebyshev coefficients of erfc (Press et al., Numerical Recipes, 3rd ed., section 6.2.2): error below 1.2e-16. */
const erfcSeries = [
  -1.3026537197817094, 0.6419697923564902, 1.9476473204185836e-2, -9.561514786808631e-3, -9.46595344482036e-4,
  3.66839497852761e-4, 4.2523324806907e-5, -2.0278578112534e-5, -1.624290004647e-6, 1.30365583558e-6, 1.5626441722e-8,
  -8.5238095915e-8, 6.529054439e-9, 5.059343495e-9, -9.91364156e-10, -2.27365122e-10, 9.6467911e-11, 2.394038e-12,
  -6.886027e-12, 8.94487e-13, 3.13092e-13, -1.12708e-13, 3.81e-16, 7.106e-15, -1.523e-15, -9.4e-17, 1.21e-16, -2.8e-17,
];

/** erf in float64, for which there is no kernel: sign(x)·(1 − t·e^(−x² + series(t))), t = 2/(2 + |x|). */
export function erfBody(b: Emit, x: string): string {
  const m = math(b);
  const t = m.div(2, m.add(m.abs(x), 2));
  const twice = m.sub(m.mul(t, 4), 2);
  // Clenshaw's recurrence
  let d: string = m.mul(x, 0);
  let before = d;
  for (let j = erfcSeries.length - 1; j > 0; j--) {
    const next = m.add(m.sub(m.mul(twice, d), before), erfcSeries[j] as number);
    before = d;
    d = next;
  }
  const series = m.sub(m.mul(m.add(m.mul(twice, d), erfcSeries[0] as number), 0.5), before);
  const erfc = m.mul(t, m.exp(m.sub(series, m.square(x))));
  return m.mul(m.sign(x), m.sub(1, erfc));
}
