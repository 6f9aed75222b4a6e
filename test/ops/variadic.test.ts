import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { Node } from "../../src/graph/graph.js";
import { bytesOf, valuesOf } from "../../src/graph/values.js";
import { openCpu } from "../../src/runtime/cpu.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

test("evaluate(node, inputs) runs the body of a node without a kernel", () => {
  const value = (values: number[]) => ({ dtype: "int64" as const, shape: [2], data: bytesOf("int64", values) });
  const node: Node = {
    name: "largest",
    domain: "",
    op: "Max",
    inputs: ["a", "b"],
    outputs: ["y"],
    attributes: {},
    phase: "forward",
  };
  const [made] = cpu.evaluate(node, [value([1, 5]), value([3, 2])]);
  assert.deepEqual(valuesOf("int64", made?.data ?? new Uint8Array()), [3, 5]);
});
