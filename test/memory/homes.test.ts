import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { homeOf, homes } from "../../src/memory/homes.js";
import { rewrite } from "../../src/plan/rewrite.js";

const graph =
  parseGraph(`graph g(float32[8] x, parameter float32[12] all, parameter float32[8] w within all+16) => (loss) {
  a = Mul(x, w)
loss:
  loss = ReduceSum<keepdims=0>(a)
backward:
  b = Mul(a, x)
  c = ReduceSum<keepdims=0>(b)
update:
  parameter all.next = Mul(all, c)
  state all -> all.next
}`);

test("homeOf(graph, name) is where a value lies between steps: on the host with an offset for slices, else where it is", () => {
  const hosted = rewrite(graph, [], [{ state: "all" }]);
  assert.deepEqual([...homes(hosted)], [["all", "all@swap/host"]]);
  assert.deepEqual(homeOf(hosted, "all"), { tensor: "all@swap/host", offsetBytes: 0 });
  assert.deepEqual(homeOf(hosted, "w"), { tensor: "all@swap/host", offsetBytes: 16 });
  assert.deepEqual(homeOf(hosted, "x"), { tensor: "x", offsetBytes: 0 });
  assert.deepEqual(homeOf(graph, "w"), { tensor: "w", offsetBytes: 0 });
});

test("an activation that is swapped has no home: nothing of it lasts from step to step", () => {
  const swapped = rewrite(graph, [{ activation: "a", action: "swap" }]);
  assert.ok(swapped.nodes.some(({ op }) => op === "SwapInWait"));
  assert.equal(homes(swapped).size, 0);
});
