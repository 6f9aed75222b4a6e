import assert from "node:assert/strict";
import { test } from "node:test";
import { Builder } from "../../../src/build/build.js";
import type { DType, Graph, Node } from "../../../src/graph/graph.js";
import { attentionAttributes, viewAlone } from "../../../src/ops/attention-form.js";
import { attention, attentionGradient } from "../../../src/runtime/gpu/attention.js";
import type { NodeContext } from "../../../src/runtime/gpu/context.js";
import type { KernelSource } from "../../../src/runtime/gpu/source/kernel.js";

const means = { cudnn: { supports: () => true }, compiles: true, deterministic: true, tf32: true, attends: true };

/** An attention and its gradient, of 2·3 heads; the mask is of the keys, or of queries and keys. */
function pair(
  dtype: DType,
  width = 64,
  [queries, keys]: readonly [number, number] = [1140, 1150],
  isLarge = false,
  ahead?: number,
): { graph: Graph; forward: Node; backward: Node } {
  const b = new Builder();
  const add = (name: string, shape: readonly number[]): string => b.declare({ name, dtype, shape, category: "input" });
  const [q, k, v] = [add("q", [2, 3, queries, width]), add("k", [2, 3, keys, width]), add("v", [2, 3, keys, width])];
  const mask = b.declare({
    name: "m",
    dtype: "float32",
    shape: [2, 1, isLarge ? queries : 1, keys],
    category: "input",
  });
  const [own, other] = [viewAlone([2, 3, queries, width], 2), viewAlone([2, 3, keys, width], 2)];
  const attributes = attentionAttributes({
    scale: 0.125,
    ahead,
    zeroHidden: false,
    sizes: { batch: 2, heads: 3, kvHeads: 3, queries, keys, width },
    views: [own, other, other],
    positionAxis: 2,
  });
  const [y, statistics] = b.add("Attention", [q, k, v, mask], attributes, {
    domain: "mutwo",
    outputs: ["y", "statistics"],
  }) as [string, string];
  const inputs = [add("dy", [2, 3, queries, width]), q, k, v, y, statistics, mask];
  b.add("AttentionGradient", inputs, attributes, { domain: "mutwo", outputs: ["dq", "", "dv"] });
  const [forward, backward] = b.nodes as [Node, Node];
  const graph = { name: "g", nodes: b.nodes, tensors: b.tensors, inputs: [], outputs: [], state: [] };
  return { graph, forward, backward };
}

test("attention.fits(node) is true where tensor cores compute it", () => {
  const fits = (dtype: DType, width = 64, other: Partial<typeof means> = {}): boolean[] =>
    asked(pair(dtype, width), other);
  const asked = (
    { graph, forward, backward }: ReturnType<typeof pair>,
    other: Partial<typeof means> = {},
  ): boolean[] => {
    const given = { ...means, ...other };
    return [attention.fits(forward, graph, given), attentionGradient.fits(backward, graph, given)];
  };
  for (const dtype of ["bfloat16", "float16", "float32"] as const) assert.deepEqual(fits(dtype), [true, true], dtype);
  assert.deepEqual(fits("float64"), [false, false]);
  assert.deepEqual(fits("float32", 64, { tf32: false }), [false, false]);
  assert.deepEqual(fits("bfloat16", 128), [true, true]);
  assert.deepEqual(fits("bfloat16", 136), [false, false]);
  assert.deepEqual(fits("bfloat16", 12), [false, false]);
  assert.deepEqual(fits("bfloat16", 64, { attends: false }), [false, false]);
  assert.deepEqual(fits("bfloat16", 64, { compiles: false }), [false, false]);
  // what was not measured, or was slower
  assert.deepEqual(asked(pair("bfloat16", 64, [16, 1150])), [true, true]);
  assert.deepEqual(asked(pair("bfloat16", 64, [15, 1150])), [false, false]);
  assert.deepEqual(asked(pair("float16", 64, [1150, 15])), [false, false]);
  assert.deepEqual(asked(pair("float32", 64, [1000, 1150])), [false, false]);
  assert.deepEqual(asked(pair("float32", 64, [1150, 1000])), [false, false]);
  assert.deepEqual(asked(pair("bfloat16", 64, [1140, 1150], true)), [false, false]);
  assert.deepEqual(fits("float32", 128), [false, false]);
  assert.deepEqual(asked(pair("float32", 128, [1024, 1024], false, 0)), [true, true]);
});

test("attentionGradient.prepare(node) gives both passes their operands, with the rows' sums in the workspace", () => {
  const { graph, backward } = pair("bfloat16");
  const names = ["q", "k", "v", "m", "y", "dy", "statistics", "dq", "dv"];
  const launches: string[][] = [];
  const blocks: number[] = [];
  const taken: number[] = [];
  const context = {
    ...means,
    graph,
    address: (name: string) => BigInt(names.indexOf(name) + 1),
    workspace: { takeBriefly: (bytes: number) => BigInt(taken.push(bytes) && 99), giveBack: () => {} },
    launcher: (source: KernelSource, operands: () => readonly bigint[]) => () => {
      blocks.push(source.blocks);
      launches.push(operands().map((at) => (at === 99n ? "sums" : (names[Number(at) - 1] ?? "none"))));
    },
  } as unknown as NodeContext;
  attentionGradient.prepare(backward, context)();
  assert.deepEqual(launches, [
    ["q", "k", "v", "m", "y", "dy", "statistics", "dq", "sums"],
    ["q", "k", "v", "m", "dy", "statistics", "sums", "none", "dv"],
  ]);
  // a block for 128 rows of a head
  assert.deepEqual(blocks, [54, 54]);
  assert.deepEqual(taken, [2 * 3 * 1140 * 4]);
});

/** Q, K and V of 2 heads behind each of 2·128 positions of one tensor, shifted by so many elements. */
function packed(shift = 0) {
  const b = new Builder();
  const qkv = b.declare({ name: "qkv", dtype: "bfloat16", shape: [2, 128, 3, 128 + shift], category: "input" });
  const step = 3 * (128 + shift);
  const strides = [128 * step, 64, step] as const;
  const attributes = attentionAttributes({
    scale: 0.125,
    ahead: undefined,
    zeroHidden: false,
    sizes: { batch: 2, heads: 2, kvHeads: 2, queries: 128, keys: 128, width: 64 },
    views: [
      { offset: 0, strides },
      { offset: 128 + shift, strides },
      { offset: 2 * (128 + shift), strides },
    ],
    positionAxis: 1,
  });
  b.add("Attention", [qkv, qkv, qkv], attributes, { domain: "mutwo", outputs: ["y", "statistics"] });
  const dy = b.declare({ name: "dy", dtype: "bfloat16", shape: [2, 128, 2, 64], category: "input" });
  const inputs = [dy, qkv, qkv, qkv, "y", "statistics"];
  b.add("AttentionGradient", inputs, attributes, { domain: "mutwo", outputs: ["dqkv"] });
  const graph = { name: "g", nodes: b.nodes, tensors: b.tensors, inputs: [], outputs: [], state: [] };
  return { graph, nodes: b.nodes as [Node, Node] };
}

test("attention.prepare(node) reads what lies in one tensor from its places, and its gradient writes there", () => {
  const { graph, nodes } = packed();
  const names = ["qkv", "y", "statistics", "dy", "dqkv"];
  const launches: (readonly bigint[])[] = [];
  const context = {
    ...means,
    graph,
    address: (name: string) => BigInt(names.indexOf(name) + 1) * 10000n,
    workspace: { takeBriefly: () => 99n, giveBack: () => {} },
    launcher: (_: KernelSource, operands: () => readonly bigint[]) => () => void launches.push(operands()),
  } as unknown as NodeContext;
  attention.prepare(nodes[0], context)();
  attentionGradient.prepare(nodes[1], context)();
  // K and V lie 256 and 512 bytes behind Q
  const read = [10000n, 10256n, 10512n, 0n];
  assert.deepEqual(launches, [
    [...read, 20000n, 30000n],
    [...read, 20000n, 40000n, 30000n, 50000n, 99n],
    [...read, 40000n, 30000n, 99n, 50256n, 50512n],
  ]);
});

test("attention.fits(node) is false where what it reads does not begin at multiples of 16 bytes", () => {
  for (const [shift, fits] of [
    [0, true],
    [8, true],
    [4, false],
  ] as const) {
    const { graph, nodes } = packed(shift);
    assert.equal(attention.fits(nodes[0], graph, means), fits);
    assert.equal(attentionGradient.fits(nodes[1], graph, means), fits);
  }
});
