import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Builder } from "../../src/build/build.js";
import type { Emit } from "../../src/ops/emit.js";
import { fastGelu, fastGeluGradient, gelu, geluGradient } from "../../src/ops/gelu.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { lower } from "../../src/step/lower.js";
import { graphOf, loaded } from "../sampled.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

/** What nodes make of x and dY, in float64. */
async function values(make: (b: Emit) => string, x: readonly number[], dY: readonly number[]): Promise<number[]> {
  const b = new Builder();
  for (const name of ["x", "dy"]) b.declare({ name, dtype: "float64", shape: [x.length], category: "input" });
  const y = make(b);
  const step = loaded(lower(graphOf(b, [y]), cpu.hasKernel), cpu);
  try {
    return (
      (
        await step.run(
          new Map([
            ["x", [...x]],
            ["dy", [...dY]],
          ]),
        )
      ).get(y) ?? []
    );
  } finally {
    step.close();
  }
}

const close = (actual: readonly number[], expected: readonly number[], within: number): void =>
  expected.forEach((value, i) => {
    assert.ok(Math.abs((actual[i] as number) - value) < within, `element ${i} is ${actual[i]}, not ${value}`);
  });

test("gelu(x) is x·Φ(x), fastGelu(x) its approximation by tanh", async () => {
  // Φ(1) = 0.841344746…; 0.5·(1 + tanh(√(2/π)·1.044715)) = 0.841191990…
  const at = [0, 1, -1, 10];
  close(await values((b) => gelu(b, "x"), at, at), [0, 0.8413447460685429, -0.1586552539314571, 10], 1e-14);
  close(await values((b) => fastGelu(b, "x"), at, at), [0, 0.8411919906082768, -0.1588080093917233, 10], 1e-14);
});

for (const [name, forward, gradient] of [
  ["gelu", gelu, geluGradient],
  ["fastGelu", fastGelu, fastGeluGradient],
] as const)
  test(`${name}Gradient(x, dY) is dY times the slope of ${name}`, async () => {
    const [x, dY, h] = [[-3, -0.7, 0, 0.2, 1.5], [1, 2, -1, 0.5, 3], 1e-5];
    const moved = (by: number) =>
      values(
        (b) => forward(b, "x"),
        x.map((v) => v + by),
        dY,
      );
    const [up, down] = [await moved(h), await moved(-h)];
    const slopes = dY.map((d, i) => (d * ((up[i] as number) - (down[i] as number))) / (2 * h));
    close(await values((b) => gradient(b, "x", "dy"), x, dY), slopes, 1e-8);
  });
