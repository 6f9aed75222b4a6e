import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Builder } from "../../src/build/build.js";
import { erfBody } from "../../src/ops/erf.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { lower } from "../../src/step/lower.js";
import { graphOf, loaded } from "../sampled.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

// Abramowitz and Stegun, Handbook of Mathematical Functions, table 7.1
const known: readonly (readonly [x: number, erf: number])[] = [
  [0, 0],
  [0.1, 0.1124629160182849],
  [0.5, 0.5204998778130465],
  [1, 0.8427007929497149],
  [2, 0.9953222650189527],
  [3, 0.9999779095030014],
  [10, 1],
];

test("erfBody(x) is erf in float64 to 15 digits, odd", async () => {
  const b = new Builder();
  const x = known.flatMap(([at]) => [at, -at]);
  b.declare({ name: "x", dtype: "float64", shape: [x.length], category: "input" });
  const y = erfBody(b, "x");
  const step = loaded(lower(graphOf(b, [y]), cpu.hasKernel), cpu);
  const made = (await step.run(new Map([["x", x]]))).get(y);
  step.close();
  known
    .flatMap(([, erf]) => [erf, -erf])
    .forEach((erf, i) => {
      assert.ok(Math.abs((made?.[i] as number) - erf) < 1e-15, `erf(${x[i]}) is ${made?.[i]}, not ${erf}`);
    });
});
