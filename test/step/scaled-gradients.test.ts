import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Builder } from "../../src/build/build.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { type GradientSettings, scaleGradients } from "../../src/step/scaled-gradients.js";
import { graphOf, loaded } from "../sampled.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

/** Gradients 0, 1, … scaled; with rows of two models each its own. */
async function scaled(settings: GradientSettings, of?: readonly number[]): Promise<number[] | undefined> {
  const b = new Builder();
  const shape = of ? [of.length, 2] : [8];
  for (const name of ["g", "p"]) b.declare({ name, dtype: "float32", shape, category: "input" });
  const rows = of && { models: 2, of, isGuarded: false };
  const [flat] = scaleGradients(b, [{ parameters: "p", gradients: "g", ...(rows && { rows }) }], settings);
  const made = flat?.gradients as string;
  if (made === "g") return undefined;
  b.redeclare({ name: made, dtype: "float32", shape, category: "gradient" });
  const step = loaded(graphOf(b, [made]), cpu);
  try {
    return (await step.run(new Map([["g", [0, 1, 2, 3, 4, 5, 6, 7]]]))).get(made);
  } finally {
    step.close();
  }
}

const near = (actual: readonly number[] | undefined, expected: readonly number[]): void => {
  assert.equal(actual?.length, expected.length);
  expected.forEach((value, i) => {
    assert.ok(Math.abs((actual?.[i] as number) - value) < 1e-6, `${actual} and ${expected}`);
  });
};

const all = [0, 1, 2, 3, 4, 5, 6, 7];

test("scaleGradients(…) clips to a norm, and divides by the loss scale before", async () => {
  assert.equal(await scaled({}), undefined);
  near(
    await scaled({ lossScale: 2 }),
    all.map((value) => value / 2),
  );
  const norm = Math.hypot(...all);
  near(
    await scaled({ clipNorm: 1 }),
    all.map((value) => value / (norm + 1e-6)),
  );
  near(
    await scaled({ clipNorm: 100, lossScale: 4 }),
    all.map((value) => value / 4),
  );
});

test("scaleGradients(…) of rows clips each model's to its own norm", async () => {
  // rows 0, 2 are the first model's
  const first = Math.hypot(0, 1, 4, 5) + 1e-6;
  const second = Math.hypot(2, 3, 6, 7) + 1e-6;
  const by = [1 / first, 3 / second, 1 / first, 3 / second];
  near(
    await scaled({ clipNorm: [1, 3] }, [0, 1, 0, 1]),
    all.map((value, i) => value * (by[i >> 1] as number)),
  );
  const one = [2 / first, 2 / second, 2 / first, 2 / second];
  near(
    await scaled({ clipNorm: 2 }, [0, 1, 0, 1]),
    all.map((value, i) => value * (one[i >> 1] as number)),
  );
});
