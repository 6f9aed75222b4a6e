import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../../src/build/text.js";
import type { Node } from "../../../src/graph/graph.js";
import type { OwnNode } from "../../../src/runtime/gpu/context.js";
import { awaitsCopy, beginsCopy, copiedParts } from "../../../src/runtime/gpu/copies.js";
import { fakeContext } from "./fake-gpu.js";

/** What running the nodes of a graph asks of the device; tensors lie at 4096, 8192, … in the order of their names. */
function asked(text: string, ...own: readonly OwnNode[]): string[] {
  const graph = parseGraph(text);
  const { context, taken } = fakeContext(graph);
  const runs = own.map((one, i) => one.prepare(graph.nodes[i] as Node, context));
  for (const run of runs) run();
  return taken();
}

test("copiedParts(whole, parts) copies each part behind the one before: at once, or row by row", () => {
  const graph = parseGraph("graph(float32[2,3] a, float32[2,1] b) => (y) { y = Concat<axis=1>(a, b) }");
  const lines = (rows: number, joins: boolean) => {
    const { context, taken } = fakeContext(graph);
    const parts = ["a", "b"].map((name, i) => ({ name, width: [24 / rows, 8 / rows][i] as number }));
    copiedParts(context, { whole: "y", rows, pitch: 32 / rows, joins }, parts)();
    return taken();
  };
  assert.deepEqual(lines(1, true), [
    "copy 24 bytes 4096→12288 kind 3 stream 1",
    "copy 8 bytes 8192→12312 kind 3 stream 1",
  ]);
  assert.deepEqual(lines(2, true), [
    "copy 2 rows of 12 bytes 4096/12→12288/16",
    "copy 2 rows of 4 bytes 8192/4→12300/16",
  ]);
  assert.deepEqual(lines(2, false), [
    "copy 2 rows of 12 bytes 12288/16→4096/12",
    "copy 2 rows of 4 bytes 12300/16→8192/4",
  ]);
});

test("beginsCopy copies nothing to or from what is overlaid on the host, and is waited for all the same", () => {
  const graph = parseGraph(
    "graph(float32[8] x) => (h) { o on host = mutwo.SwapOut(x) h on host = mutwo.SwapOutWait(o, x) }",
  );
  const { context, lines } = fakeContext(graph);
  beginsCopy("out").prepare(graph.nodes[0] as Node, { ...context, overlaid: new Set(["o"]) })();
  assert.deepEqual(lines, ["record 1 stream 1", "stream 2 waits for 1", "record 2 stream 2"]);
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
