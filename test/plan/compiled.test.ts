import assert from "node:assert/strict";
import { test } from "node:test";
import { compile } from "../../src/plan/compiled.js";
import { small } from "../swaps.js";

test("compile(graph, nodeMs) numbers nodes and tensors in order; a block stands before the first backward use", () => {
  const { nodes, activations, activationTensors, backwardMembers, made } = compile(
    small,
    small.nodes.map((_, rank) => rank),
  );
  const names = [...small.tensors.keys()];
  assert.deepEqual(activations, ["a", "b", "loss"]);
  assert.deepEqual(
    [...activationTensors].map((tensor) => names[tensor]),
    ["a", "b", "loss"],
  );
  // b is read through its view v
  assert.deepEqual(
    backwardMembers.map((members) => [...members].map((tensor) => names[tensor])),
    [["a"], ["v"], ["loss"]],
  );
  const before = (activation: number): string | undefined =>
    small.nodes[nodes.findIndex(({ targets }) => targets.includes(activation))]?.outputs[0];
  assert.deepEqual([before(0), before(1)], ["da", "dv"]);
  assert.deepEqual(
    nodes.map(({ ms, view }) => [ms, view]),
    small.nodes.map(({ op }, rank) => [rank, op === "Reshape"]),
  );
  assert.equal(made[names.indexOf("x")], -1);
});
