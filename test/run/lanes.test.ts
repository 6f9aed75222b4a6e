import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { lanesOf } from "../../src/run/lanes.js";

const swapping = parseGraph(`graph swap(float32[256] x) => (z) {
  a = Exp(x)
  b = Sin(a)
  out on host = mutwo.SwapOut(a)
  host on host = mutwo.SwapOutWait(out, a)
  c = Cos(b)
backward:
  in = mutwo.SwapIn(host)
  d = Neg(c)
  back = mutwo.SwapInWait(in, host)
  z = Add(back, d)
}`);

const times = (copyMs: number) => (node: { op: string }) => (node.op.startsWith("Swap") ? copyMs : 1);

const spans = (pieces: readonly { name: string; startMs: number; endMs: number }[]) =>
  pieces.map(({ name, startMs, endMs }) => [name, startMs, endMs]);

test("lanesOf(graph) puts copies beside nodes, and a stall where a node waits for one", () => {
  const lanes = lanesOf(swapping, times(3));
  assert.deepEqual(spans(lanes.toHost), [["a", 2, 5]]);
  assert.deepEqual(spans(lanes.toDevice), [["a", 6, 9]]);
  assert.deepEqual(spans(lanes.stalls), [
    ["a", 2, 5],
    ["a", 7, 9],
  ]);
  assert.deepEqual(
    spans(lanes.compute).map(([, start, end]) => [start, end]),
    [
      [0, 1],
      [1, 2],
      [5, 6],
      [6, 7],
      [9, 10],
    ],
  );
});

test("lanesOf(graph) has no stall where copies take no time", () => {
  assert.deepEqual(lanesOf(swapping, times(0)).stalls, []);
});
