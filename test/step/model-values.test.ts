import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Builder } from "../../src/build/build.js";
import type { Tensor } from "../../src/graph/graph.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { ModelValues } from "../../src/step/model-values.js";
import { graphOf, loaded } from "../sampled.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/** What tensors are, made of x = 0, 1, … in a graph. */
async function values(b: Builder, x: string, names: readonly string[]): Promise<(number[] | undefined)[]> {
  const step = loaded(
    graphOf(
      b,
      [...new Set(names)].filter((name) => b.producer(name)),
    ),
    cpu,
  );
  try {
    const given = new Map([[x, numbers(b.type(x).shape.reduce((a, z) => a * z, 1))]]);
    const result = await step.run(given);
    return names.map((name) => result.get(name) ?? given.get(name));
  } finally {
    step.close();
  }
}

const input = (name: string, shape: readonly number[]): Tensor => ({
  name,
  dtype: "float32",
  shape,
  category: "input",
});

test("ModelValues brings models before axis 0, before axis 1, and apart", async () => {
  const b = new Builder();
  const held = new ModelValues(b, 2);
  const type = { dtype: "float32", shape: [2, 3] } as const;
  held.holdJoint("x", type, b.declare(input("all", [2, 2, 3])), 0);
  assert.equal(held.at("x"), 0);
  const channels = held.joint("x", 1, [2, 6]);
  const [one = "", other = ""] = held.each("x");
  assert.equal(held.joint("x", 1, [2, 6]), channels, "made once");
  assert.deepEqual(await values(b, "all", [channels, one, other]), [
    [0, 1, 2, 6, 7, 8, 3, 4, 5, 9, 10, 11],
    [0, 1, 2, 3, 4, 5],
    [6, 7, 8, 9, 10, 11],
  ]);
  const again = new ModelValues(b, 2);
  again.holdEach("y", type, [one, other]);
  assert.ok(again.isApart("y"));
  const joined = [again.joint("y", 0), again.joint("y", 1, [2, 6])];
  assert.ok(!again.isApart("y"));
  assert.deepEqual(await values(b, "all", joined), [numbers(12), [0, 1, 2, 6, 7, 8, 3, 4, 5, 9, 10, 11]]);
  assert.throws(() => again.holdJoint("z", { dtype: "float32", shape: [5] }, "all", 0), /^Error: shape mismatch/);
});

test("ModelValues declares what no node makes in the shape that it is first wanted in, and no sooner", () => {
  const b = new Builder();
  const held = new ModelValues(b, 3);
  const weight: Tensor = {
    name: "w",
    dtype: "float32",
    shape: [4, 2],
    category: "parameter",
    data: new Uint8Array(32),
  };
  held.holdResidents("w", [weight, weight, weight]);
  held.holdResidents("unread", [weight, weight, weight]);
  assert.equal(held.joint("w", 0, [12, 2]), "w");
  assert.deepEqual(b.type("w"), { name: "w", dtype: "float32", shape: [12, 2], category: "parameter" });
  assert.deepEqual([held.declared("w"), held.declared("unread")], ["w", undefined]);
});

test("ModelValues repeats what all models have: small constants as constants, others by a node", () => {
  const b = new Builder();
  const held = new ModelValues(b, 2);
  const small = b.constant("float32", [2], [1, 2]);
  const large = b.constant("float32", [2 ** 14], 0);
  held.holdCommon("small", b.type(small), small);
  held.holdCommon("large", b.type(large), large);
  assert.equal(held.at("small"), undefined);
  assert.equal(held.common("small"), small);
  assert.deepEqual(held.each("small"), [small, small]);
  assert.equal(b.type(held.joint("small", 0)).category, "constant");
  assert.equal(b.producer(held.joint("large", 0))?.op, "Expand");
});
