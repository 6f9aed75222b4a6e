import assert from "node:assert/strict";
import { test } from "node:test";
import { randomFrom } from "../../src/graph/random.js";
import { Network } from "../../src/step/min-cut.js";

type Edge = readonly [from: number, to: number, capacity: number];

/** The vertices on the sink's side of the cut; vertex 0 is the source, the last one the sink. */
function sinkSide(count: number, edges: readonly Edge[]): Set<number> {
  const network = new Network();
  for (let i = 0; i < count; i++) network.vertex();
  for (const [from, to, capacity] of edges) network.edge(from, to, capacity);
  return new Set(network.cut(0, count - 1));
}

/** Capacity of the edges that lead from the source's side to the sink's. */
const capacityOf = (edges: readonly Edge[], side: ReadonlySet<number>): number =>
  edges.reduce((sum, [from, to, capacity]) => sum + (!side.has(from) && side.has(to) ? capacity : 0), 0);

test("Network.cut(source, sink) cuts where least flows, of several such places the one nearest to the sink", () => {
  const chain = (...capacities: readonly number[]): Edge[] => capacities.map((c, i) => [i, i + 1, c]);
  assert.deepEqual(sinkSide(4, chain(5, 2, 3)), new Set([2, 3]));
  assert.deepEqual(sinkSide(4, chain(2, 3, 2)), new Set([3]));
  assert.deepEqual(sinkSide(4, chain(Number.POSITIVE_INFINITY, 2, Number.POSITIVE_INFINITY)), new Set([2, 3]));
  // nothing leads there
  assert.deepEqual(sinkSide(3, [[0, 1, 1]]), new Set([2]));
});

test("Network.cut(source, sink) sends flow back where another way needs it", () => {
  // the path 0-1-2-3 must give way to 0-1-3 and 0-2-3
  const edges: readonly Edge[] = [
    [0, 1, 1],
    [1, 2, 1],
    [2, 3, 1],
    [0, 2, 1],
    [1, 3, 1],
  ];
  assert.equal(capacityOf(edges, sinkSide(4, edges)), 2);
});

test("Network.cut(source, sink) is as small as the smallest of all cuts (random networks)", () => {
  const random = randomFrom(1);
  for (let round = 0; round < 200; round++) {
    const count = 3 + Math.floor(4 * random());
    const vertex = (): number => Math.floor(count * random());
    const edges = Array.from({ length: 12 }, (): Edge => [vertex(), vertex(), Math.floor(9 * random())]);
    const side = sinkSide(count, edges);
    assert.ok(side.has(count - 1) && !side.has(0));
    const all = Array.from({ length: 2 ** (count - 2) }, (_, bits) => {
      const inner = Array.from({ length: count - 2 }, (_, i) => i + 1).filter((i) => bits & (1 << (i - 1)));
      return capacityOf(edges, new Set([...inner, count - 1]));
    });
    assert.equal(capacityOf(edges, side), Math.min(...all), JSON.stringify(edges));
  }
});
