import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import type { Graph } from "../../src/graph/graph.js";
import { layout } from "../../src/memory/layout.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { absorbTransposes } from "../../src/step/transposes.js";
import { linesOf } from "../lines.js";
import { fixtureStep } from "../problem.js";
import { outcome } from "../step.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

const absorbed = (body: string): string[] => {
  const graph = parseGraph(`graph g(float32[4,3] x, float32[5,3] w, float32[4,5] z) => (y) {\n${body}\n}`);
  return linesOf(absorbTransposes(graph, () => true));
};

test("absorbTransposes(graph) reads operands as they lie, and makes a result transposed that is only read so", () => {
  assert.deepEqual(absorbed("t = Transpose<perm=[1,0]>(w)\ny = MatMul(x, t)"), [
    "  y = com.microsoft.FusedMatMul<transA=0, transB=1>(x, w)",
  ]);
  // (x·wᵀ)ᵀ is w·xᵀ
  assert.deepEqual(absorbed("t = Transpose<perm=[1,0]>(w)\nm = MatMul(x, t)\ny = Transpose<perm=[1,0]>(m)"), [
    "  [m] y = com.microsoft.FusedMatMul<transA=0, transB=1>(w, x)",
  ]);
  // twice is not at all
  assert.deepEqual(absorbed("t = Transpose<perm=[1,0]>(x)\nu = Transpose<perm=[1,0]>(t)\ny = Gemm<transB=1>(u, w)"), [
    "  y = Gemm<transB=1, transA=0>(x, w)",
  ]);
});

test("absorbTransposes(graph) leaves a result that something else reads too, and what has no kernel", () => {
  const body = "m = MatMul(z, w)\nt = Transpose<perm=[1,0]>(m)\nn = Exp(m)\ny = MatMul(n, t)";
  assert.ok(absorbed(body).includes("  m = MatMul(z, w)"));
  const graph = parseGraph(
    "graph g(float32[4,3] x, float32[5,3] w) => (y) { t = Transpose<perm=[1,0]>(w) y = MatMul(x, t) }",
  );
  assert.deepEqual(absorbTransposes(graph, () => false).nodes, graph.nodes);
});

test("absorbTransposes(x·Wᵀ and its gradients) leaves no transpose of the matrix", () => {
  const step = fixtureStep(cpu, "bert_tiny.ts.onnx", { loss: "ce", optimizer: "sgd" });
  const transposes = (graph: Graph): number => graph.nodes.filter(({ op }) => op === "Transpose").length;
  const fewer = absorbTransposes(step, (node, graph) => cpu.hasKernel(node, graph));
  assert.ok(transposes(fewer) < transposes(step) / 2, `${transposes(step)} -> ${transposes(fewer)}`);
  assert.ok(layout(fewer).arenaBytes <= layout(step).arenaBytes);
});

test("absorbTransposes(step) computes the same", async () => {
  const step = fixtureStep(cpu, "swin.ts.onnx", { loss: "ce", optimizer: "sgd" });
  const [expected, actual] = [
    await outcome(cpu, step),
    await outcome(
      cpu,
      absorbTransposes(step, (node, graph) => cpu.hasKernel(node, graph)),
    ),
  ];
  for (const [tensor, bytes] of expected) {
    const [p, q] = [bytes, actual.get(tensor) as Uint8Array].map((b) => new Float32Array(b.slice().buffer)) as [
      Float32Array,
      Float32Array,
    ];
    const norm = Math.hypot(...p);
    const difference = Math.hypot(...p.map((value, i) => value - (q[i] as number)));
    assert.ok(difference <= 1e-5 * norm, `${tensor}: ${difference / norm}`);
  }
});
