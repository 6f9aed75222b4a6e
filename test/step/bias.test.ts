import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import type { Graph } from "../../src/graph/graph.js";
import { tensorOf } from "../../src/graph/graph.js";
import { valuesOf } from "../../src/graph/values.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { separateBiases } from "../../src/step/bias.js";
import { fuse } from "../../src/step/fuse.js";
import { lower } from "../../src/step/lower.js";
import { trainingStep } from "../../src/step/training.js";
import { outcome, relativeError } from "../step.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

const always = (): boolean => true;

const opsOf = ({ nodes }: Graph): string => nodes.map(({ op, inputs }) => `${op}(${inputs.length})`).join(" ");

const of = (text: string, inputs = "float32[6,4] x, float32[4,5] w, float32[5] c", hasKernel = always) =>
  separateBiases(parseGraph(`graph(${inputs}) => (y) { ${text} }`), hasKernel, 0);

test("separateBiases(graph) adds the vector behind the product and the views of it", () => {
  assert.equal(opsOf(of("p = Gemm(x, w, c) y = Exp(p)")), "Gemm(2) Add(2) Exp(1)");
  const viewed = of("p = Gemm(x, w, c) v = Reshape(p, int64[3]{2,3,5}) y = Exp(v)");
  assert.equal(opsOf(viewed), "Gemm(2) Reshape(2) Add(2) Exp(1)");
  // whoever read the sum reads it still
  assert.deepEqual(viewed.nodes[2]?.outputs, ["v"]);
  assert.deepEqual(viewed.nodes[3]?.inputs, ["v"]);
  // a view that others read beside, and one that mixes columns: before them
  assert.equal(
    opsOf(
      of("p = Gemm(x, w, c) v = Reshape(p, int64[3]{2,3,5}) e = Exp(p) z = Reshape(e, int64[3]{2,3,5}) y = Mul(v, z)"),
    ),
    "Gemm(2) Add(2) Reshape(2) Exp(1) Reshape(2) Mul(2)",
  );
  assert.equal(
    opsOf(of("p = Gemm(x, w, c) v = Reshape(p, int64[1]{30}) y = Exp(v)")),
    "Gemm(2) Add(2) Reshape(2) Exp(1)",
  );
});

test("separateBiases(graph) leaves alone other addends, results of the graph, small ones, and what has no kernel", () => {
  const alone = (text: string, inputs?: string, hasKernel = always) =>
    assert.match(opsOf(of(text, inputs, hasKernel)), /^Gemm\(3\)/);
  alone("p = Gemm<beta=0.5>(x, w, c) y = Exp(p)");
  alone("p = Gemm(x, w, c) y = Exp(p)", "float32[6,4] x, float32[4,5] w, float32[6,5] c");
  alone("y = Gemm(x, w, c)");
  alone("p = Gemm(x, w, c) y = Exp(p)", undefined, () => false);
  const graph = parseGraph(
    "graph(float32[6,4] x, float32[4,5] w, float32[5] c) => (y) { p = Gemm(x, w, c) y = Exp(p) }",
  );
  assert.equal(separateBiases(graph, always), graph);
});

test("separateBiases(step) computes the same", async () => {
  const model =
    parseGraph(`graph(float32[6,4] x, parameter float32[4,5] w, parameter float32[5] c, parameter float32[5,3] w2) => (y) {
    p = Gemm(x, w, c)
    v = Reshape(p, int64[3]{2,3,5})
    h = Tanh(v)
    y = MatMul(h, w2)
  }`);
  const step = lower(trainingStep(model, { loss: "ce", optimizer: "adam" }), cpu.hasKernel);
  const separate = separateBiases(step, cpu.hasKernel, 0);
  assert.notEqual(separate, step);
  const [expected, actual] = [await outcome(cpu, step), await outcome(cpu, lower(fuse(separate), cpu.hasKernel))];
  for (const [name, bytes] of expected) {
    const { dtype } = tensorOf(step, name);
    const error = relativeError(valuesOf(dtype, actual.get(name) as Uint8Array), valuesOf(dtype, bytes));
    assert.ok(error < 1e-5, `${name}: ${error}`);
  }
});
