import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../../src/build/text.js";
import type { Node } from "../../../src/graph/graph.js";
import type { OwnNode } from "../../../src/runtime/gpu/context.js";
import { awaitsCopy, beginsCopy, concat, split } from "../../../src/runtime/gpu/copies.js";
import { copyRowsSource } from "../../../src/runtime/gpu/source/copy-rows.js";
import { fakeContext, fakeGpu } from "./fake-gpu.js";

/** What running the nodes of a graph asks of the device; tensors lie at 4096, 8192, … in the order of their names. */
function asked(text: string, ...own: readonly OwnNode[]): string[] {
  const graph = parseGraph(text);
  const { context, taken } = fakeContext(graph);
  const runs = own.map((one, i) => one.prepare(graph.nodes[i] as Node, context));
  for (const run of runs) run();
  return taken();
}

test("concat along the first axis copies each input behind the one before", () => {
  assert.deepEqual(asked("graph(float32[2,3] a, float32[1,3] b) => (y) { y = Concat<axis=0>(a, b) }", concat), [
    "copy 24 bytes 4096→12288 kind 3 stream 1",
    "copy 12 bytes 8192→12312 kind 3 stream 1",
  ]);
});

test("concat along another axis copies rows, apart from each other in the output", () => {
  assert.deepEqual(asked("graph(float32[2,3] a, float32[2,1] b) => (y) { y = Concat<axis=-1>(a, b) }", concat), [
    "copy 2 rows of 12 bytes 4096/12→12288/16",
    "copy 2 rows of 4 bytes 8192/4→12300/16",
  ]);
});

test("concat of many short rows, as of images whose channels are last, is a kernel for each input", () => {
  const text = "graph(float32[2048,16] a, float32[2048,8] b) => (y) { y = Concat<axis=1>(a, b) }";
  const graph = parseGraph(text);
  const { context, lines, sources } = fakeContext(graph);
  concat.prepare(graph.nodes[0] as Node, context)();
  const rows = { count: 2048, toPitch: 96 };
  assert.deepEqual(sources, [
    copyRowsSource({ ...rows, width: 64, fromPitch: 64 }, 16, 4),
    copyRowsSource({ ...rows, width: 32, fromPitch: 32 }, 16, 4),
  ]);
  assert.equal(lines.length, 2);
  assert.equal(asked(text.replaceAll("2048", "8"), concat).length, 2);
});

test("split copies rows out of the input, if all outputs are wanted", () => {
  const [first, second] = asked("graph(float32[2,3] x) => (a, b) { a, b = Split<axis=1>(x, int64[2]{1,2}) }", split);
  assert.match(first ?? "", /^copy 2 rows of 4 bytes 4096\/12→\d+\/4$/);
  assert.match(second ?? "", /^copy 2 rows of 8 bytes 4100\/12→\d+\/8$/);
  const graph = parseGraph("graph(float32[2,3] x) => (a, b) { a, b = Split<axis=1>(x, int64[2]{1,2}) }");
  const [node] = graph.nodes as [Node];
  const fits = (outputs: readonly string[]) => split.fits({ ...node, outputs }, graph, fakeGpu().gpu);
  assert.deepEqual([fits(["a", "b"]), fits(["a", ""])], [true, false]);
});

test("beginsCopy(out) copies in its stream after what was launched; awaitsCopy holds up the kernels until it is done", () => {
  const text = "graph(float32[8] x) => (h) { o on host = mutwo.SwapOut(x) h on host = mutwo.SwapOutWait(o, x) }";
  assert.deepEqual(asked(text, beginsCopy("out"), awaitsCopy), [
    "record 1 stream 1",
    "stream 2 waits for 1",
    "copy 32 bytes 4096→8192 kind 2 stream 2",
    "record 2 stream 2",
    "stream 1 waits for 2",
  ]);
});
