import assert from "node:assert/strict";
import { test } from "node:test";
import { Builder } from "../../src/build/build.js";
import { expand } from "../../src/build/expand.js";
import { parseGraph } from "../../src/build/text.js";
import type { Node } from "../../src/graph/graph.js";

test("expand(b, node, rule) gives nodes inside the node's scope, and leaves the graph as it was", () => {
  const graph = parseGraph("graph g(float32[2] x) => (y) { y = Softplus(x) }");
  const [node] = graph.nodes as [Node];
  const b = new Builder(graph);
  const expansion = expand(b, node, ({ b: inner, x }) => [inner.op("Log", [inner.op("Exp", [x(0)])])]);
  assert.deepEqual(
    expansion?.nodes.map(({ name, inputs, phase }) => [name, inputs, phase]),
    [
      ["y/Exp", ["x"], "forward"],
      ["y/Log", ["y/Exp:0"], "forward"],
    ],
  );
  assert.deepEqual(expansion?.results, ["y/Log:0"]);
  assert.equal(b.type("y/Log:0").category, "activation");
  assert.deepEqual(b.nodes, [node]);
  assert.equal(
    expand(b, node, () => undefined),
    undefined,
  );
});
