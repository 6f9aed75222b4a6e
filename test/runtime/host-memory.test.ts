import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { tensorOf } from "../../src/graph/graph.js";
import { bytesOf } from "../../src/graph/values.js";
import { layout } from "../../src/memory/layout.js";
import { checkPinned, HostMemory, pinnableBytes } from "../../src/runtime/host-memory.js";

const graph = parseGraph("graph(float32[3] x) => (y) { y = Add(x, float32[3]{1,2,3}) }");

const constant = [...graph.tensors.values()].find(({ category }) => category === "constant")?.name as string;

test("HostMemory puts tensors where the layout says, from a cache line on, and constants hold their values", () => {
  const places = layout(graph);
  const memory = new HostMemory(graph, places);
  assert.equal(memory.allocatedBytes, places.arenaBytes);
  for (const name of ["x", "y", constant])
    assert.equal(memory.address(name) % 64n, BigInt((places.offsets.get(name) as number) % 64));
  assert.deepEqual(memory.read(constant), bytesOf("float32", [1, 2, 3]));
});

test("HostMemory refuses what the machine has not: it says what is needed and what there is", () => {
  const huge = { ...layout(graph), arenaBytes: 2 ** 52 };
  assert.throws(
    () => new HostMemory(graph, huge),
    /^Error: out of memory: the step's values need 4\.00 PiB, this machine has [\d.]+ [GM]iB free; /,
  );
  assert.throws(() => new HostMemory(graph, { ...layout(graph), hostBytes: 2 ** 52 }), /^Error: out of memory: /);
});

test("HostMemory.write(name, data) writes in place, read(name) is a copy; another size is refused", () => {
  const memory = new HostMemory(graph, layout(graph));
  memory.write("x", bytesOf("float32", [4, 5, 6]));
  const copy = memory.read("x");
  memory.bytesOf("x").fill(0);
  assert.deepEqual([copy, memory.read("x")], [bytesOf("float32", [4, 5, 6]), new Uint8Array(12)]);
  assert.throws(() => memory.write("x", new Uint8Array(8)), { message: "value of x has 8 bytes, not 12" });
});

test("HostMemory keeps a swapped tensor outside of the arena, and names one without a place", () => {
  const x = { ...tensorOf(graph, "x"), name: "x@swap", host: true } as const;
  const swapped = { ...graph, tensors: new Map([...graph.tensors, ["x@swap", x]]) };
  const places = layout(graph);
  const memory = new HostMemory(swapped, { ...places, hostBytes: 12, hostOffsets: new Map([["x@swap", 0]]) });
  assert.equal(memory.bytesOf("x@swap").buffer.byteLength, 12);
  assert.throws(() => new HostMemory(swapped, places).bytesOf("x@swap"), { message: "no place for tensor: x@swap" });
  const without = new HostMemory(graph, { ...places, offsets: new Map() });
  assert.throws(() => without.address("y"), { message: "no place for tensor: y" });
});

test("checkPinned(bytes) refuses what the host has not: it says what is needed, what there is and what bounds it", () => {
  checkPinned(0);
  assert.ok(pinnableBytes() > 0);
  assert.throws(
    () => checkPinned(2 ** 52),
    /^Error: out of memory: what the step swaps out needs 4\.00 PiB of the host's memory, pinned; [\d.]+ [GM]iB can be had \(--host-memory /,
  );
});
