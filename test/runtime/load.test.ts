import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { bytesOf, valuesOf } from "../../src/graph/values.js";
import { layout } from "../../src/memory/layout.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { loadWithValues } from "../../src/runtime/load.js";

const cpu = openCpu();

after(() => cpu.close());

const graph = parseGraph("graph(float32[2] x, parameter float32[2] w) => (y) { y = Mul(x, w) }");

test("loadWithValues(graph, runtime, values) writes all values that the graph has tensors for", async () => {
  const values = new Map([
    ["x", bytesOf("float32", [2, 3])],
    ["w", bytesOf("float32", [5, 7])],
    ["of another graph", new Uint8Array(1)],
  ]);
  const { step, arenaBytes } = loadWithValues(graph, cpu, values);
  await step.run();
  assert.deepEqual(valuesOf("float32", step.read("y")), [10, 21]);
  assert.equal(arenaBytes, layout(graph).arenaBytes);
  step.close();
});

test("loadWithValues(graph, runtime, values) closes the step where a value does not fit", () => {
  let closed = 0;
  const runtime = {
    ...cpu,
    load: (...given: Parameters<typeof cpu.load>) => {
      const step = cpu.load(...given);
      return {
        ...step,
        close() {
          closed++;
          step.close();
        },
      };
    },
  };
  assert.throws(() => loadWithValues(graph, runtime, new Map([["x", new Uint8Array(4)]])), {
    message: "value of x has 4 bytes, not 8",
  });
  assert.equal(closed, 1);
});
