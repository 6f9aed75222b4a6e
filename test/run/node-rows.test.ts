import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { assumedSwapBytesPerMs, tables } from "../../src/run/node-rows.js";
import { samplesOf } from "../../src/run/samples.js";

// y is made forward, read there last through its view r, and read backward
const graph = parseGraph(`graph step(float32[2,3] x, float32[3,4] w, float32[2,4] dy) => (dw) {
  h = MatMul(x, w)
  y = Relu(h)
  r = Flatten<axis=1>(y)
  e = Exp(r)
  backward:
  dh = Mul(dy, y)
  xt = Transpose<perm=[1,0]>(x)
  dw = MatMul(xt, dh)
}`);

const times = graph.nodes.map((_, i) => samplesOf([i + 1]));

test("tables(graph, times) has a row a node: time, flops, bytes of inputs and outputs; none for a view", () => {
  const { nodes, nodesMs } = tables(graph, times, null, null);
  assert.equal(nodesMs, 28);
  const [matmul, relu, view] = nodes;
  assert.deepEqual(
    [matmul?.op, matmul?.phase, matmul?.time.medianMs, matmul?.flops, matmul?.inputBytes, matmul?.outputBytes],
    ["MatMul", "forward", 1, 2 * 2 * 3 * 4, 4 * (6 + 12), 4 * 8],
  );
  assert.equal(matmul?.activeBytes, 4 * (6 + 12 + 8));
  assert.deepEqual([view?.inputBytes, view?.outputBytes, view?.activeBytes], [0, 0, 0]);
  assert.deepEqual([relu?.workspaceBytes, nodes[4]?.op], [null, "Mul"]);
  assert.equal(tables(graph, times, [8, 0, 0, 0, 0, 0, 0], null).nodes[0]?.workspaceBytes, 8);
});

test("tables(graph, times) says where an activation is last read forward and first read backward", () => {
  const { nodes, activations } = tables(graph, times, null, null);
  assert.deepEqual(
    activations.map(({ name }) => name),
    ["y"],
  );
  assert.deepEqual(
    nodes.map(({ lastForwardUses }) => lastForwardUses.join()),
    ["", "", "", "y", "", "", ""],
  );
  assert.deepEqual(
    nodes.map(({ firstBackwardUses }) => firstBackwardUses.join()),
    ["", "", "", "", "y", "", ""],
  );
});

test("tables(graph, times, …, copies) simulates a swap by the slower direction, between measured sizes on a line", () => {
  const swapMs = (copies: readonly (readonly [bytes: number, toHostMs: number, toDeviceMs: number])[]): number => {
    const measured = copies.map(([bytes, toHostMs, toDeviceMs]) => ({ bytes, toHostMs, toDeviceMs }));
    const [row] = tables(graph, times, null, measured).activations;
    assert.equal(row?.swapMeasured, copies.length > 0);
    return row?.swapMs ?? Number.NaN;
  };
  // y has 32 bytes
  assert.equal(swapMs([]), 32 / assumedSwapBytesPerMs);
  assert.equal(swapMs([[64, 1, 3]]), 3);
  assert.equal(
    swapMs([
      [16, 1, 2],
      [48, 6, 4],
    ]),
    4,
  );
  assert.equal(
    swapMs([
      [8, 1, 1],
      [16, 2, 1],
    ]),
    4,
  );
});
