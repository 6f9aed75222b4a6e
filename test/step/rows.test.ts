import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import type { Graph } from "../../src/graph/graph.js";
import { savedActivations } from "../../src/memory/activations.js";
import { storages } from "../../src/memory/storages.js";
import { rewrite } from "../../src/plan/rewrite.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { seededGraph } from "../../src/step/initial.js";
import { lower } from "../../src/step/lower.js";
import { showRows } from "../../src/step/rows.js";
import { trainingStep } from "../../src/step/training.js";
import { linesOf } from "../lines.js";
import { loaded } from "../sampled.js";
import { outcome } from "../step.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

const of = (body: string): Graph => parseGraph(`graph g(float32[3,64,8] x) => (y) {\n  s = Exp(x)\n${body}\n}`);

const opsOf = ({ nodes }: Graph): string => nodes.map(({ op }) => op).join(" ");

const parts = (names: string): string => `${names}\n  y = Sum(a, b, c)`;

const taken = parts(`  a = Gather<axis=0>(s, int64[]{0})
  b = Gather<axis=0>(s, int64[]{-2})
  c = Gather<axis=0>(s, int64[]{2})`);

test("showRows(graph) shows parts of the first axis where they lie", async () => {
  const graph = of(taken);
  const shown = showRows(graph);
  assert.equal(opsOf(shown), "Exp Rows Reshape Rows Reshape Rows Reshape Sum");
  assert.deepEqual(
    ["a", "b", "c"].map((name) => storages(shown).of.get(name)?.offsetBytes),
    [0, 2048, 4096],
  );
  const values = new Map([["x", Array.from({ length: 1536 }, (_, i) => i / 1536)]]);
  const outputs = await Promise.all(
    [graph, shown].map(async (one) => {
      const step = loaded(one, cpu);
      const results = await step.run(values);
      step.close();
      return results.get("y");
    }),
  );
  assert.deepEqual(outputs[1], outputs[0]);
});

test("showRows(graph) knows Split and Slice, and axes of one place before", () => {
  assert.equal(opsOf(showRows(of(parts("  a, b, c = Split<axis=0>(s, int64[3]{1,1,1})")))), "Exp Rows Rows Rows Sum");
  const slice = (from: number): string => `Slice(u, int64[1]{${from}}, int64[1]{${from + 1}}, int64[1]{1})`;
  const sliced = of(
    parts(`  u = Reshape(s, int64[4]{1,3,64,8})\n  a = ${slice(0)}\n  b = ${slice(1)}\n  c = ${slice(2)}`),
  );
  assert.ok(!opsOf(showRows(sliced)).includes("Slice"));
});

test("showRows(graph) leaves parts of a whole that nobody else would keep, results, and places that kernels do not take", () => {
  const left = (body: string): void => {
    const graph = of(body);
    assert.deepEqual(linesOf(showRows(graph)), linesOf(graph));
  };
  left("  a = Gather<axis=0>(s, int64[]{2})\n  y = Exp(a)");
  left("  y = Slice(s, int64[1]{0}, int64[1]{3}, int64[1]{0})");
  // rows of 8 floats begin at multiples of 32 bytes, those of another axis do not lie together
  left(
    "  t = Reshape(s, int64[2]{192,8})\n  a, b = Split<axis=0>(t, int64[2]{1,191})\n  c = Exp(b)\n  y = Concat<axis=0>(a, c)",
  );
  left("  a, b = Split<axis=1>(s, int64[2]{32,32})\n  y = Add(a, b)");
  left("  a = Slice(s, int64[1]{2}, int64[1]{-4}, int64[1]{0}, int64[1]{-1})\n  y = Exp(a)");
});

test("rewrite(showRows(step), whatever is recomputed or swapped) gives the same bits", async () => {
  const model = parseGraph(`graph g(float32[64,8] x, parameter float32[8,24] w, parameter float32[8,8] v) => (y) {
  m = MatMul(x, w)
  r = Reshape(m, int64[3]{64,3,8})
  t = Transpose<perm=[1,0,2]>(r)
  s = Exp(t)
  a, b, c = Split<axis=0>(s, int64[3]{1,1,1})
  d = Sigmoid(a)
  e = Mul(d, b)
  f = MatMul(e, v)
  g = Mul(f, c)
  y = Tanh(g)
}`);
  const step = seededGraph(lower(trainingStep(model, { loss: "mse", optimizer: "sgd" }), cpu.hasKernel), 0);
  const shown = showRows(step);
  assert.equal(shown.nodes.filter(({ op }) => op === "Rows").length, 3);
  const expected = await outcome(cpu, step);
  const saved = [...savedActivations(shown).values()].filter(({ fixed }) => fixed === null).map(({ name }) => name);
  assert.ok(saved.includes("s"), saved.join());
  for (const action of ["keep", "recompute", "swap"] as const)
    for (const some of [["s"], saved]) {
      const decisions = some.map((activation) => ({ activation, action }));
      const actual = await outcome(cpu, rewrite(shown, decisions));
      for (const [name, bytes] of expected) assert.deepEqual(actual.get(name), bytes, `${name}, ${action} ${some}`);
    }
});
