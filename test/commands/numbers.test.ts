import assert from "node:assert/strict";
import { test } from "node:test";
import { countNumber, numberList, positiveNumber, wholeNumber } from "../../src/commands/numbers.js";

test("wholeNumber, positiveNumber, numberList read what they say, and refuse the rest", () => {
  assert.deepEqual(
    [wholeNumber("0"), wholeNumber("12"), positiveNumber("0.5"), numberList("1,0,1")],
    [0, 12, 0.5, [1, 0]],
  );
  for (const word of ["", "-1", "1.5", "x", "1e3", "9999999999"])
    assert.throws(() => wholeNumber(word), /use a whole number/);
  assert.equal(countNumber("3"), 3);
  for (const word of ["", "0", "-1", "1.5", "x"])
    assert.throws(() => countNumber(word), /use a whole number from 1 on/);
  for (const word of ["0", "-1", "x", "Infinity"]) assert.throws(() => positiveNumber(word), /use a number above 0/);
  assert.throws(() => numberList("0,,1"), /use a whole number/);
});
