import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node } from "../../src/graph/graph.js";
import { placedWith, placeOf, stagesOf } from "../../src/graph/lanes.js";

const node = (place: Pick<Node, "lane" | "stage">): Node => ({
  name: "n",
  domain: "",
  op: "Neg",
  inputs: ["x"],
  outputs: ["y"],
  attributes: {},
  phase: "forward",
  ...place,
});

test("placeOf(node) is lane 0 and stage 0 where nothing is said", () => {
  assert.deepEqual(placeOf(node({})), { lane: 0, stage: 0 });
  assert.deepEqual(placeOf(node({ lane: 2, stage: 3 })), { lane: 2, stage: 3 });
});

test("placedWith(node, one, other) is in the lane of one and in the stage of the other; plain places are not written", () => {
  const [two, three] = [node({ lane: 2, stage: 2 }), node({ lane: 3, stage: 3 })];
  assert.deepEqual(placedWith(node({ lane: 1, stage: 1 }), two, three), node({ lane: 2, stage: 3 }));
  assert.deepEqual(placedWith(two, node({}), undefined), node({}));
});

test("stagesOf(nodes) are the ranks of each stage and its lanes", () => {
  const nodes = [{}, { lane: 1 }, { stage: 2 }, { stage: 5, lane: 3 }, { stage: 5, lane: 3 }].map(node);
  assert.deepEqual(
    stagesOf(nodes).map(({ first, last, lanes }) => [first, last, [...lanes]]),
    [
      [0, 1, [0, 1]],
      [2, 2, [0]],
      [3, 4, [3]],
    ],
  );
});

test("stagesOf(nodes) refuses a stage before that of the node before it", () => {
  assert.throws(() => stagesOf([node({ stage: 1 }), node({})]), /stage 0 after stage 1/);
});
