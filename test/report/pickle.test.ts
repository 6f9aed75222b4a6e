import assert from "node:assert/strict";
import { test } from "node:test";
import { type Pickled, pickle, Tuple } from "../../src/report/pickle.js";
import { unpickle } from "../unpickle.js";

test("pickle(value) writes the bytes that CPython's pickle.dumps(value, 2) writes", () => {
  const hex = (value: Pickled): string => Buffer.from(pickle(value)).toString("hex");
  assert.equal(
    hex({ a: [1, 300, -1], b: "a" }),
    "80027d71002858010000006171015d7102284b014d2c014affffffff6558010000006271036801752e",
  );
});

test("pickle(value) is read back as it was", () => {
  const values: readonly Pickled[] = [
    null,
    true,
    false,
    "",
    "µ-TWO \u{1f600}\n\0",
    [],
    {},
    [[], {}, [[null]]],
    ...[0, 1, -1, 255, 256, 65_535, 65_536, 2 ** 31 - 1, 2 ** 31, -(2 ** 31), -(2 ** 31) - 1, 2 ** 40],
    ...[Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, 0.5, -1e300, 2 ** 60],
  ];
  for (const value of values) assert.deepEqual(unpickle(pickle(value)), value);
  assert.deepEqual(unpickle(pickle(values)), values);
  assert.deepEqual(unpickle(pickle({ pool: new Tuple(0, "x") })), { pool: [0, "x"] });
});

test("pickle(value) writes long lists in batches, equal strings once, and what is in several places as one object", () => {
  const shared = { name: "a long name that is written once" };
  const list = Array.from({ length: 2500 }, () => [shared, "a long name that is written once"]);
  const bytes = pickle(list);
  const back = unpickle(bytes) as unknown[][];
  assert.deepEqual(back, list);
  assert.equal(back[0]?.[0], back[2499]?.[0]);
  assert.equal(Buffer.from(bytes).toString("latin1").split("a long name that is written once").length, 2);
  // more than 256 things in the memo
  const many = Array.from({ length: 70_000 }, (_, i) => `s${i % 69_999}`);
  assert.deepEqual(unpickle(pickle(many)), many);
});

test("pickle(value) refuses what is no number", () => {
  assert.throws(() => pickle([Number.NaN]), /^Error: cannot pickle: NaN$/);
  assert.throws(() => pickle(Number.POSITIVE_INFINITY), /^Error: cannot pickle: Infinity$/);
});
