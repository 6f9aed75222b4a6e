import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Builder } from "../../src/build/build.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { backward } from "../../src/step/gradient.js";
import { graphOf, loaded } from "../sampled.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

test("Dropout's gradient follows the mask that the forward pass drew", async () => {
  const b = new Builder();
  b.declare({ name: "x", dtype: "float32", shape: [64], category: "input" });
  b.declare({ name: "dy", dtype: "float32", shape: [64], category: "input" });
  const y = b.op("Dropout", ["x", b.constant("float32", [], 0.25), b.constant("bool", [], 1)]);
  const dx = backward(b, [...b.nodes], new Map([[y, "dy"]]), new Set(["x"])).get("x") as string;
  const step = loaded(graphOf(b, [y, dx]), cpu);
  const ones = new Array<number>(64).fill(1);
  const made = await step.run(
    new Map([
      ["x", ones],
      ["dy", ones],
    ]),
  );
  step.close();
  assert.deepEqual(made.get(dx), made.get(y));
  assert.deepEqual([...new Set(made.get(y))].sort(), [0, Math.fround(4 / 3)]);
});
