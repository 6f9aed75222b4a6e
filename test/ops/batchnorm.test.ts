import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Builder } from "../../src/build/build.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { lower } from "../../src/step/lower.js";
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
