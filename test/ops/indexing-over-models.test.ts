import assert from "node:assert/strict";
import { test } from "node:test";
import { overThree } from "../fused.js";

test("look-ups are one table with offsets", () => {
  const { shapes, nodes } = overThree(
    "graph n(int64[5] i, parameter float32[7,4] table) => (y) { y = Gather(table, i) }",
  );
  assert.deepEqual(shapes, ["Mod [3,5]", "Add [3,5]", "Gather [3,5,4]"]);
  assert.equal(nodes.at(-1)?.inputs[0], "table");
});

test("slices by index have the models as one more axis of the batch, places the model's number in front", () => {
  const picked = overThree("graph n(float32[2,4,3] x, int64[2,1] i) => (y) { y = GatherND<batch_dims=1>(x, i) }");
  assert.equal(picked.nodes[0]?.attributes.batch_dims?.value, 2);
  const placed = overThree("graph n(float32[4,3] x, int64[2,1] i, float32[2,3] u) => (y) { y = ScatterND(x, i, u) }");
  assert.deepEqual(placed.shapes, ["Expand [3,2,1]", "Concat [3,2,2]", "ScatterND [3,4,3]"]);
});
