import assert from "node:assert/strict";
import { test } from "node:test";
import { Constants } from "../../src/build/constants.js";

test("Constants.name declares a tensor for each constant once, its elements as they are given", () => {
  const declared: [string, number[], number][] = [];
  const constants = new Constants((wish, { shape, data }) => {
    declared.push([wish, [...shape], data?.length ?? 0]);
    return wish;
  });
  assert.equal(constants.name("int64", [], 7), "const.int64.7");
  assert.equal(constants.name("int64", [2], [1, 2]), "const.int64.1");
  assert.equal(constants.name("int64", [2], [1, 2]), "const.int64.1");
  // more elements than a key holds, however they are told
  assert.equal(constants.name("float32", [300], 1), constants.name("float32", [300], new Array<number>(300).fill(1)));
  assert.deepEqual(declared, [
    ["const.int64.7", [], 8],
    ["const.int64.1", [2], 16],
    ["const.float32.2", [300], 1200],
  ]);
  assert.throws(() => constants.name("bool", [2 ** 27], 0), /^Error: constant too large: \[134217728\]/);
});
