import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { trainingStep } from "../../src/step/training.js";
import { checkFeasible, differenceOf } from "../../src/train/run-plan.js";

const model = parseGraph("graph(float32[4,3] x, parameter float32[3,2] w) => (y) { h = MatMul(x, w) y = Relu(h) }");

const step = (optimizer: string) => trainingStep(model, { loss: "mse", optimizer, rates: "tensors" });

test("differenceOf(a, b) names the first node or tensor that is another; learning rates as tensors may differ", () => {
  assert.equal(differenceOf(step("adam:lr=1"), step("adam:lr=2")), undefined);
  assert.match(differenceOf(step("adam"), step("adam:eps=1e-4")) ?? "", /^node update\//);
  assert.match(differenceOf(step("sgd"), step("adam")) ?? "", /^node /);
  const graph = step("sgd");
  assert.match(differenceOf(graph, { ...graph, nodes: graph.nodes.slice(0, -1) }) ?? "", /^node /);
  assert.match(differenceOf({ ...graph, nodes: graph.nodes.slice(0, -1) }, graph) ?? "", /^node /);
  const tensors = new Map(graph.tensors).set("w", {
    name: "w",
    dtype: "float32",
    shape: [2, 3],
    category: "parameter",
  });
  assert.equal(differenceOf(graph, { ...graph, tensors }), "tensor w");
});

test("checkFeasible(plan) says what would do", () => {
  const plan = { feasible: false, budgetBytes: 2 ** 20, minimumPeakBytes: 3 * 2 ** 20 };
  assert.throws(() => checkFeasible(plan as never), {
    message: "infeasible budget: 1.00 MiB; the least reachable peak is 3.00 MiB",
  });
  assert.throws(() => checkFeasible({ ...plan, budgetBytes: 372_000, minimumPeakBytes: 372_100 } as never), {
    message: "infeasible budget: 363 KiB (372,000 B); the least reachable peak is 363 KiB (372,100 B)",
  });
  checkFeasible({ ...plan, feasible: true } as never);
});
