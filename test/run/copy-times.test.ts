import assert from "node:assert/strict";
import { test } from "node:test";
import { copyTimes } from "../../src/run/copy-times.js";
import type { Run } from "../../src/run/run.js";

test("copyTimes(run) has a time for every activation, and for the states that the plan has on the host", () => {
  const before = { activations: [{ name: "a", swapMs: 2 }] } as unknown as Run["before"];
  const plan = { states: [{ state: "parameters.m", swapMs: 3 }] } as unknown as Run["plan"];
  assert.deepEqual(Object.fromEntries(copyTimes({ before, plan })), { "parameters.m": 3, a: 2 });
  assert.deepEqual(Object.fromEntries(copyTimes({ before, plan: null })), { a: 2 });
});
