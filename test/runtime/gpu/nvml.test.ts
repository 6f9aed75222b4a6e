import assert from "node:assert/strict";
import { test } from "node:test";
import { ownProcess } from "../../../src/runtime/gpu/nvml.js";

const held = (...ids: number[]): Map<number, number> => new Map(ids.map((id) => [id, 1000]));

test("ownProcess(before, after) is the process by its number, or in a container the only new one", () => {
  assert.equal(ownProcess(held(1, 2), held(1, 2, 7), 7), 7);
  assert.equal(ownProcess(held(1), held(1, 9, 7), 7), 7);
  // another number outside
  assert.equal(ownProcess(held(1), held(1, 9), 7), 9);
  assert.equal(ownProcess(held(1), held(1, 8, 9), 7), null);
  assert.equal(ownProcess(held(), held(), 7), null);
  // what was there before with the same number is another's
  assert.equal(ownProcess(held(7), held(7), 7), null);
});
