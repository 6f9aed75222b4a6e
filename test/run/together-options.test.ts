import assert from "node:assert/strict";
import { test } from "node:test";
import { isTogether, togetherOptions } from "../../src/run/together-options.js";

test("togetherOptions say what is wrong with them beside each other", () => {
  const { together, vary, arrange } = togetherOptions;
  assert.throws(() => together.check([], {}), /^Error: nothing to train together: name another model /);
  together.check([], { copies: 2 });
  together.check(["b.onnx"], {});
  assert.throws(() => vary.check(["lr"]), /^Error: not a variation: lr /);
  assert.throws(() => arrange.check("fused", {}), /^Error: one model alone is not arranged: fused /);
  arrange.check("multiplexed", { copies: 2 });
  assert.deepEqual([{}, { copies: 1 }].map(isTogether), [false, true]);
});
