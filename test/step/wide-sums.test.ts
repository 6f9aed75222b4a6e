import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import type { Graph } from "../../src/graph/graph.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { lower } from "../../src/step/lower.js";
import { sumWide } from "../../src/step/wide-sums.js";
import { loaded } from "../sampled.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

const always = (): boolean => true;

const of = (body: string): Graph => parseGraph(`graph g(bfloat16[40,6] x, float32[40,6] f) => (y) {\n${body}\n}`);

const opsOf = ({ nodes }: Graph): string => nodes.map(({ domain, op }) => `${domain && "own "}${op}`).join(", ");

const axes = "int64[1]{0}";

test("sumWide(graph) reads 16-bit tensors as they are, and rounds no sum on its way to float32", async () => {
  const before = of(`c = Cast<to=1>(x)\n  y = ReduceSum<keepdims=0>(c, ${axes})`);
  const behind = of(`s = ReduceSum<keepdims=0>(x, ${axes})\n  y = Cast<to=1>(s)`);
  for (const graph of [before, behind]) assert.equal(opsOf(sumWide(graph, always)), "own ReduceSum");
  const values = new Map([["x", Array.from({ length: 240 }, (_, i) => ((i * 37) % 101) / 64)]]);
  const run = async (graph: Graph): Promise<number[]> => {
    const step = loaded(lower(graph, cpu.hasKernel), cpu);
    const results = await step.run(values);
    step.close();
    return results.get("y") as number[];
  };
  const exact = await run(before);
  for (const graph of [before, behind]) assert.deepEqual(await run(sumWide(graph, always)), exact);
  assert.notDeepEqual(await run(behind), exact);
});

test("sumWide(graph) leaves what stays in 16 bits, what others read, rows, and what has no kernel", () => {
  const left = (body: string, hasKernel = always): void => {
    const graph = of(body);
    assert.equal(sumWide(graph, hasKernel), graph);
  };
  left(`y = ReduceSum(x, ${axes})`);
  left(`y = ReduceSum(f, ${axes})`);
  left(`s = ReduceSum(x, ${axes})\n  c = Cast<to=1>(s)\n  d = Cast<to=1>(s)\n  y = Add(c, d)`);
  // a fused node adds up rows
  left("c = Cast<to=1>(x)\n  y = ReduceSum(c, int64[1]{1})");
  left(`c = Cast<to=1>(x)\n  y = ReduceSum(c, ${axes})`, () => false);
});
