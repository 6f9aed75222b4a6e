import assert from "node:assert/strict";
import { test } from "node:test";
import { everyCombination, inTurn, parseVariations, parseVaried } from "../../src/run/vary.js";

const read: readonly (readonly [text: string, name: string, values: string[]])[] = [
  ["lr=1e-4,3e-4, 1e-3", "lr", ["1e-4", "3e-4", "1e-3"]],
  ["seed=0..3", "seed", ["0", "1", "2", "3"]],
  ["seed=1,5..6", "seed", ["1", "5", "6"]],
  ["optimizer=sgd,adam:lr=1e-3,eps=1e-7,adamw", "optimizer", ["sgd", "adam:lr=1e-3,eps=1e-7", "adamw"]],
  ["betas=0.9/0.999,0.8/0.99", "betas", ["0.9/0.999", "0.8/0.99"]],
  ["dim.batch=8,16", "dim.batch", ["8", "16"]],
];

for (const [text, name, values] of read)
  test(`parseVaried("${text}")`, () => assert.deepEqual(parseVaried(text), { name, values }));

const refused: readonly (readonly [text: string, message: string])[] = [
  ["lr", "not a variation: lr (use lr=1e-4,3e-4 or seed=0..7)"],
  ["lr=", "not a variation: lr= (use lr=1e-4,3e-4 or seed=0..7)"],
  ["=3", "not a variation: =3 (use lr=1e-4,3e-4 or seed=0..7)"],
  ["lr=1,,2", "a value is missing: lr=1,,2 (use lr=1e-4,3e-4)"],
  ["seed=7..0", "not a range from less to more, of at most 10000 numbers: 7..0 (use seed=0..7)"],
  ["seed=0..99999", "not a range from less to more, of at most 10000 numbers: 0..99999 (use seed=0..7)"],
];

for (const [text, message] of refused)
  test(`parseVaried("${text}") says what is wrong`, () => assert.throws(() => parseVaried(text), { message }));

const of = (...texts: string[]) => parseVariations(texts);

test("everyCombination(all) has the first variation's values change slowest; of none it is one", () => {
  const words = everyCombination(of("lr=1,2", "seed=0..2")).map((one) => [...one.values()].join());
  assert.deepEqual(words, ["1,0", "1,1", "1,2", "2,0", "2,1", "2,2"]);
  assert.deepEqual(everyCombination([]), [new Map()]);
  assert.throws(() => everyCombination(of("lr=1,2,1")), { message: "a value is given twice: lr=1" });
});

test("inTurn(all, count) begins shorter lists again, and refuses values that no model would have", () => {
  assert.throws(() => inTurn(of("lr=1,2,3", "seed=0..7"), 7), {
    message:
      "seed has 8 values for 7 models: with --copies or several models they are taken in turn (--copies 8, or leave some out)",
  });
  const words = inTurn(of("lr=1,2,3", "seed=0..7"), 8).map((one) => [...one.values()].join());
  assert.deepEqual(words, ["1,0", "2,1", "3,2", "1,3", "2,4", "3,5", "1,6", "2,7"]);
});

test("parseVariations(texts) refuses what is varied twice", () => {
  assert.throws(() => of("lr=1", "lr=2"), { message: "varied twice: lr (give all values at once: lr=a,b)" });
});
