import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Builder } from "../../src/build/build.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { lower } from "../../src/step/lower.js";
import { hostForm } from "../host-forms.js";
import { graphOf, loaded } from "../sampled.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

test("BatchNormalization in training keeps momentum of the old statistics and adds the batch's", async () => {
  const b = new Builder();
  const vector = (value: number) => b.constant("float32", [1], value);
  b.declare({ name: "x", dtype: "float32", shape: [2, 1, 2], category: "input" });
  const inputs = ["x", vector(1), vector(0), vector(0), vector(1)];
  const made = b.add("BatchNormalization", inputs, {}, { domain: "mutwo", count: 3 });
  const step = loaded(lower(graphOf(b, made), cpu.hasKernel), cpu);
  const values = await step.run(new Map([["x", [1, 2, 3, 4]]]));
  step.close();
  // mean 2.5 and biased variance 1.25, at ONNX's momentum of 0.9
  const rounded = made.slice(1).map((name) => values.get(name)?.map((v) => Number(v.toFixed(5))));
  assert.deepEqual(rounded, [[0.25], [1.025]]);
});

test("batch norm in training and its gradient sum long rows by dot products on a CPU: the same values", async () => {
  const { ops, apart } = await hostForm(
    `graph g(float32[2,3,23,23] x, float32[3] s, float32[3] b, float32[3] m, float32[3] v, float32[2,3,23,23] dy) => (y, dx, ds, db, mean, var) {
  y, mean, var, bm, bi = mutwo.BatchNormalization(x, s, b, m, v)
  dx, ds, db = mutwo.BatchNormalizationGradient(dy, x, s, bm, bi)
}`,
    cpu,
  );
  assert.equal(ops.filter((op) => op === "FusedMatMul").length, 2);
  assert.ok(apart < 1e-5, `${apart} apart`);
  const short = await hostForm(
    `graph g(float32[2,3,4,5] x, float32[3] s, float32[3] b, float32[3] m, float32[3] v) => (y) {
  y, mean, var, bm, bi = mutwo.BatchNormalization(x, s, b, m, v)
}`,
    cpu,
  );
  assert.ok(!short.ops.includes("FusedMatMul"), "short rows");
});
