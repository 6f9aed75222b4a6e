import assert from "node:assert/strict";
import { test } from "node:test";
import { Builder } from "../../../src/build/build.js";
import type { DType, Graph, Node } from "../../../src/graph/graph.js";
import { attentionAttributes } from "../../../src/ops/fused-attention.js";
import { attention, attentionGradient } from "../../../src/runtime/gpu/attention.js";
import type { NodeContext } from "../../../src/runtime/gpu/context.js";
import type { KernelSource } from "../../../src/runtime/gpu/source/kernel.js";

const means = { cudnn: { supports: () => true }, compiles: true, deterministic: true, tf32: true, attends: true };

/** An attention and its gradient, of 2·3 heads; the mask is of the keys, or of queries and keys. */
function pair(
  dtype: DType,
  width = 64,
  [queries, keys] = [1140, 1150],
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
  const form = { scale: 0.125, ahead, zeroHidden: false, positionAxes: [2, 2, 2, 2] } as const;
  const attributes = attentionAttributes(form);
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
  assert.deepEqual(asked(pair("bfloat16", 64, [1000, 1150])), [false, false]);
  assert.deepEqual(asked(pair("bfloat16", 64, [1150, 1000])), [false, false]);
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
    workspace: { take: (bytes: number) => BigInt(taken.push(bytes) && 99), giveBack: () => {} },
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
