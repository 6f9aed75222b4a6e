import assert from "node:assert/strict";
import { test } from "node:test";
import { differs, firstOf, repeated, unknown } from "../../src/run/contradiction.js";

test("firstOf(list, ask) stops at the first answer", () => {
  const asked: number[] = [];
  const ask = (one: number): string | false => {
    asked.push(one);
    return one > 1 && `${one}`;
  };
  assert.equal(firstOf([1, 2, 3], ask), "2");
  assert.deepEqual(asked, [1, 2]);
  assert.equal(firstOf([1], ask), undefined);
});

test("repeated, unknown and differs name the place, what is there, and what is wanted", () => {
  assert.equal(repeated("nodes", ["a", "__proto__", "a"]), 'nodes[2] is a second "a"');
  assert.equal(repeated("nodes", ["a", "b"]), undefined);
  assert.equal(
    unknown("inputs", ["a", "toString"], new Map([["a", 1]]), "tensor"),
    'inputs[1] is "toString", which is no tensor',
  );
  assert.equal(unknown("inputs", ["a"], new Set(["a"]), "tensor"), undefined);
  assert.equal(differs("peak", 1, 2), "peak is 1, not 2");
  assert.equal(differs("peak", 2, 2), false);
});
