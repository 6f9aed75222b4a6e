import assert from "node:assert/strict";
import { test } from "node:test";
import {
  count,
  flag,
  list,
  number,
  object,
  oneOf,
  positive,
  problemIn,
  quantity,
  record,
  shown,
  text,
  v,
} from "../src/schema.js";

const schema = object({
  name: text,
  bytes: v.optional(count),
  rows: list(object({ ms: quantity })),
  dims: record(count),
  kind: oneOf(["a", "b"]),
});

const right = { name: "x", rows: [{ ms: 0.5 }], dims: { batch: 8 }, kind: "a" };

test("problemIn(schema, value) gives the place, what is there, and what is wanted", () => {
  const cases: readonly (readonly [object, string | undefined])[] = [
    [{}, undefined],
    [{ more: 1 }, undefined],
    [{ name: null }, "name is null, not a text"],
    [{ bytes: 0.5 }, "bytes is 0.5, not a whole number"],
    [{ bytes: -1 }, "bytes is -1, not a whole number from 0 on"],
    [{ bytes: 1e300 }, "bytes is 1e+300, not a whole number"],
    [{ rows: {} }, "rows is {}, not a list"],
    [{ rows: [{ ms: 1 }, { ms: -1 }] }, "rows[1].ms is -1, not a number from 0 on"],
    [{ rows: [{ ms: Number.POSITIVE_INFINITY }] }, "rows[0].ms is null, not a finite number"],
    [{ rows: [{ ms: "NaN" }] }, 'rows[0].ms is "NaN", not a number'],
    [{ rows: [{}] }, "rows[0].ms is missing"],
    [{ rows: [[]] }, "rows[0] is [], not an object"],
    [{ kind: "toString" }, 'kind is "toString", not one of a, b'],
    [{ dims: [] }, "dims is [], not an object"],
    [{ dims: { constructor: "8" } }, 'dims.constructor is "8", not a whole number'],
    [{ dims: JSON.parse('{"__proto__": -8}') }, "dims.__proto__ is -8, not a whole number from 0 on"],
  ];
  for (const [changed, problem] of cases) assert.equal(problemIn(schema, { ...right, ...changed }), problem);
  assert.equal(problemIn(schema, null), "it is null, not an object");
  assert.equal(problemIn(positive, 0), "it is 0, not a positive number");
  assert.equal(problemIn(flag, "true"), 'it is "true", not true or false');
  assert.equal(problemIn(number, Number.NaN), "it is null, not a number");
});

test("shown(value) is a short line in which control characters are escaped", () => {
  assert.equal(shown("a\u001b[31m\n\u2028\u0085"), '"a\\u001b[31m\\n\\u2028\\u0085"');
  assert.equal(shown("x".repeat(100)).length, 40);
  assert.equal(shown(undefined), "undefined");
});
