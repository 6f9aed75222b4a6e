import assert from "node:assert/strict";
import { test } from "node:test";
import { ops } from "../../src/ops/index.js";
import { opsetRange, parseSchema, schemaOf, schemasOf } from "../../src/ops/schema.js";

test("schemaOf(node, opset) is the newest form of that opset, the oldest if the op came later", () => {
  const since = (op: string, opset: number) => schemaOf({ domain: "", op }, opset)?.since;
  assert.deepEqual(
    [7, 10, 11, 17, 18, 22].map((opset) => since("Pad", opset)),
    [2, 2, 11, 13, 18, 21],
  );
  assert.equal(since("Gelu", 7), 20);
  assert.equal(since("Nope", 18), undefined);
  assert.equal(schemaOf({ domain: "com.microsoft", op: "Gelu" }, 1)?.inputs.length, 1);
  assert.equal(schemaOf({ domain: "ai.other", op: "Gelu" }, 1), undefined);
});

test("parseSchema(line) reads parameters, attributes and constraints", () => {
  const { inputs, outputs, attributes } = parseSchema(
    "9 | X:T axes?:int64 rest*1:- | Y:T | axis!=int alpha=float(0.5) | T=float32,float64",
  );
  assert.deepEqual(
    inputs.map(({ name, kind, least, dtypes }) => [name, kind, least, dtypes && [...dtypes]]),
    [
      ["X", "required", 1, ["float32", "float64"]],
      ["axes", "optional", 0, ["int64"]],
      ["rest", "variadic", 1, undefined],
    ],
  );
  assert.equal(outputs[0]?.constraint, "T");
  assert.deepEqual(Object.fromEntries(attributes), {
    axis: { type: "int", required: true },
    alpha: { type: "float", required: false, otherwise: "0.5" },
  });
});

test("every op of the standard domain has schemas, for the opsets that are read", () => {
  const without = [...ops].filter(
    ([name]) => !name.includes(":") && !schemaOf({ domain: "", op: name }, opsetRange.newest),
  );
  assert.deepEqual(
    without.map(([name]) => name),
    [],
  );
  for (const [name] of ops) for (const { since } of schemasOf(name)) assert.ok(since <= opsetRange.newest, name);
});
