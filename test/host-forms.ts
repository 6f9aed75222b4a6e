import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../src/build/text.js";
import { elementCount, type Graph, tensorOf } from "../src/graph/graph.js";
import type { CpuRuntime } from "../src/runtime/cpu.js";
import { lower } from "../src/step/lower.js";
import { distance, loaded } from "./sampled.js";

/** Ops of a graph in the form for a CPU with such blocks, and the farthest that its outputs are from those of the plain form. */
export async function hostForm(
  text: string,
  cpu: CpuRuntime,
  channelBlock = 1,
): Promise<{ ops: string[]; apart: number }> {
  const graph = parseGraph(text);
  const form = lower(graph, (node, tensors) => node.domain === "mutwo" || cpu.hasKernel(node, tensors), {
    channelBlock,
  });
  const ops = form.nodes.map(({ op }) => op);
  const values = new Map(
    graph.inputs.map((name, k) => [
      name,
      Array.from({ length: elementCount(tensorOf(graph, name).shape) }, (_, i) => Math.sin(i * (k + 1) + 1)),
    ]),
  );
  const run = async (lowered: Graph): Promise<ReadonlyMap<string, number[]>> => {
    const step = loaded(lowered, cpu);
    try {
      return await step.run(values);
    } finally {
      step.close();
    }
  };
  const plain = await run(lower(graph, cpu.hasKernel));
  const made = await run(lower(form, cpu.hasKernel));
  const apart = graph.outputs.map((name) => distance(made.get(name) as number[], plain.get(name) as number[]));
  return { ops, apart: Math.max(...apart) };
}

/** A graph of one convolution of x by w, with a bias of that shape. */
export const conv = (op: string, x: string, w: string, attributes: string, bias = ""): string =>
  `graph g(float32[${x}] x, float32[${w}] w${bias && `, float32[${bias}] b`}) => (y) { y = ${op}<${attributes}>(x, w${bias && ", b"}) }`;

/** Tests that some graphs are computed in blocks of channels, with the values of the plain form, and others are not. */
export function testsOfBlocks(
  cpu: CpuRuntime,
  inBlocks: readonly (readonly [what: string, text: string])[],
  others: readonly (readonly [what: string, text: string])[],
): void {
  for (const [what, text] of inBlocks)
    test(`in blocks of 8 and 16 channels: ${what}`, async () => {
      for (const block of [8, 16]) {
        const { ops, apart } = await hostForm(text, cpu, block);
        assert.ok(ops.includes("BlockedConv"), ops.join());
        assert.ok(apart < 1e-5, `${apart} apart, blocks of ${block}`);
      }
      assert.ok(!(await hostForm(text, cpu, 1)).ops.includes("BlockedConv"));
    });
  for (const [what, text] of others)
    test(`not in blocks: ${what}`, async () => {
      const { ops, apart } = await hostForm(text, cpu, 16);
      assert.ok(!ops.includes("BlockedConv"));
      assert.ok(apart < 1e-5);
    });
}
