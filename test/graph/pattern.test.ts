import assert from "node:assert/strict";
import { test } from "node:test";
import { matchingNames } from "../../src/graph/pattern.js";

const names = ["a.weight", "a.bias", "b(1).weight", "c"];

test("matchingNames(names, patterns, what): * is any characters, ? is one, all else is itself", () => {
  const found = (...patterns: string[]): string[] => [...matchingNames(names, patterns, "parameter")];
  assert.deepEqual(found("a.*"), ["a.weight", "a.bias"]);
  assert.deepEqual(found("b(1).*", "?"), ["b(1).weight", "c"]);
  assert.deepEqual(found("*"), names);
  assert.deepEqual(found(), []);
});

test("matchingNames(names, patterns, what) refuses a pattern that matches nothing, and names one that there is", () => {
  assert.throws(() => matchingNames(names, ["c", "d*"], "activation"), {
    message: "pattern matches no activation: d* (the first is a.weight)",
  });
  assert.throws(() => matchingNames([], ["*"], "activation"), /\* \(the first is none\)$/);
});
