import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { bytesOf, valuesOf } from "../../src/graph/values.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { loadWithValues } from "../../src/runtime/load.js";
import { lower } from "../../src/step/lower.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

test("pickedParts, placedParts give the bits of the ops, negative indices too", async () => {
  const text = `graph g(float32[3,5] x, int64[3,1] i, float32[3,1] u) => (y, z) {
    a = Neg(x)
    y = GatherElements<axis=1>(a, i)
    z = ScatterElements<axis=1, reduction="add">(a, i, u)
  }`;
  const graph = parseGraph(text);
  const values = new Map([
    ["x", bytesOf("float32", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15])],
    ["i", bytesOf("int64", [0, -1, 3])],
    ["u", bytesOf("float32", [100, 200, 300])],
  ]);
  const outcomes: number[][] = [];
  for (const prefers of [undefined, "parts"] as const) {
    const lowered = lower(lower(graph, cpu.hasKernel, prefers), cpu.hasKernel);
    const { step } = loadWithValues(lowered, cpu, values);
    const { observed } = await step.run({ observe: new Set(["y", "z"]) });
    outcomes.push(["y", "z"].flatMap((name) => valuesOf("float32", observed.get(name) as Uint8Array)));
    step.close();
  }
  assert.deepEqual(outcomes[1], outcomes[0]);
  assert.deepEqual(outcomes[0]?.slice(0, 3), [-1, -10, -14]);
});
