import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { stateUses } from "../../src/memory/state-uses.js";
import { rewrite } from "../../src/plan/rewrite.js";

const graph =
  parseGraph(`graph g(float32[8] x, parameter float32[12] all, parameter float32[8] w within all+16, parameter float32[8] f, optimizer state float32[8] v, optimizer state float32[8] late, buffer float32[8] mean) => (loss) {
  a = Mul(x, f)
  view = Reshape(w, int64[1]{-1})
  b = Mul(a, view)
  mean.next = Add(mean, b)
loss:
  loss = ReduceSum<keepdims=0>(b)
backward:
  c = Mul(b, b)
update:
  optimizer state v.next = Add(v, c)
  d = ReduceSum<keepdims=0>(v.next)
  parameter all.next = Mul(all, d)
  state v -> v.next
  state all -> all.next
  state mean -> mean.next
}`);

test("stateUses(graph) goes from the first to the last use of a whole, through slices, views and next values", () => {
  assert.deepEqual(Object.fromEntries(stateUses(graph)), {
    f: { first: 0, last: 0, isRenewed: false, isOutput: false },
    all: { first: 1, last: 8, isRenewed: true, isOutput: false },
    v: { first: 6, last: 7, isRenewed: true, isOutput: false },
  });
  const handedOut = { ...graph, outputs: ["loss", "v.next"] };
  assert.equal(stateUses(handedOut).get("v")?.isOutput, true);
});

test("of a state that is on the host between uses they go from its arrival to the end of its way back", () => {
  const hosted = rewrite(graph, [], [{ state: "v" }]);
  const { first, last } = stateUses(hosted).get("v") as { first: number; last: number };
  assert.deepEqual(
    [first, last].map((rank) => hosted.nodes[rank]?.op),
    ["SwapIn", "SwapOutWait"],
  );
});
