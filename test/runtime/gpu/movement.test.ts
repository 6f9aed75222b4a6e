import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../../src/build/text.js";
import type { Node } from "../../../src/graph/graph.js";
import type { OwnNode } from "../../../src/runtime/gpu/context.js";
import { concat, pad, split } from "../../../src/runtime/gpu/movement.js";
import { padSource, partsSource } from "../../../src/runtime/gpu/source/place.js";
import { fakeContext, fakeGpu } from "./fake-gpu.js";

/** What running the first node of a graph asks of a device without a compiler; tensors lie at 4096, 8192, … by name. */
function asked(text: string, own: OwnNode): string[] {
  const graph = parseGraph(text);
  const { context, taken } = fakeContext(graph, { compiles: false });
  own.prepare(graph.nodes[0] as Node, context)();
  return taken();
}

/** The kernels that it launches where they can be compiled. */
function launched(text: string, own: OwnNode) {
  const graph = parseGraph(text);
  const { context, sources } = fakeContext(graph);
  own.prepare(graph.nodes[0] as Node, context)();
  return sources;
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

test("split copies rows out of the input, if all outputs are wanted", () => {
  const [first, second] = asked("graph(float32[2,3] x) => (a, b) { a, b = Split<axis=1>(x, int64[2]{1,2}) }", split);
  assert.match(first ?? "", /^copy 2 rows of 4 bytes 4096\/12→\d+\/4$/);
  assert.match(second ?? "", /^copy 2 rows of 8 bytes 4100\/12→\d+\/8$/);
  const graph = parseGraph("graph(float32[2,3] x) => (a, b) { a, b = Split<axis=1>(x, int64[2]{1,2}) }");
  const [node] = graph.nodes as [Node];
  const fits = (outputs: readonly string[]) => split.fits({ ...node, outputs }, graph, fakeGpu().gpu);
  assert.deepEqual([fits(["a", "b"]), fits(["a", ""])], [true, false]);
});

test("concat and split are one kernel each where kernels can be compiled, but for very many parts", () => {
  const widths = [12, 4];
  assert.deepEqual(launched("graph(float32[2,3] a, float32[2,1] b) => (y) { y = Concat<axis=-1>(a, b) }", concat), [
    partsSource(2, widths, true, [4096n], 4),
  ]);
  assert.deepEqual(launched("graph(float32[2,4] x) => (a, b) { a, b = Split<axis=1>(x, int64[2]{3,1}) }", split), [
    partsSource(2, widths, false, [4096n], 4),
  ]);
  const many = Array.from({ length: 129 }, (_, i) => `x${i}`);
  const inputs = many.map((name) => `float32[2,1] ${name}`).join(", ");
  assert.deepEqual(launched(`graph(${inputs}) => (y) { y = Concat<axis=1>(${many.join(", ")}) }`, concat), []);
});

test("pad.fits(Pad) with a constant around, all of which is known", () => {
  const fits = (text: string, compiles = true): boolean => {
    const graph = parseGraph(text);
    return pad.fits(graph.nodes[0] as Node, graph, fakeContext(graph, { compiles }).context);
  };
  const of = (more: string, attributes = "") =>
    `graph(float32[2,3] x, float32[] v) => (y) { y = Pad${attributes}(x, int64[4]{0,1,0,2}${more}) }`;
  assert.equal(fits(of("")), true);
  assert.equal(fits(of(""), false), false);
  assert.equal(fits(of(", float32[]{2}")), true);
  assert.equal(fits(of(", v")), false);
  assert.equal(fits(of("", '<mode="reflect">')), false);
  const axes = "graph(float32[2,3] x) => (y) { y = Pad(x, int64[2]{1,2}, float32[]{1}, int64[1]{-1}) }";
  const filler = new Uint8Array(Float32Array.of(1).buffer);
  assert.deepEqual(launched(axes, pad), [padSource({ shape: [2, 3], begin: [0, 1], end: [0, 2], filler }, [4096n], 4)]);
});
