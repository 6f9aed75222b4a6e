import assert from "node:assert/strict";
import { test } from "node:test";
import { Builder } from "../../src/build/build.js";
import { parseGraph } from "../../src/build/parse.js";
import { assembled, type StepParts } from "../../src/step/assembled.js";

const model = parseGraph(`graph n(float32[2,3] x, parameter float32[3,1] w) => (y) { y = MatMul(x, w) }`);

/** A step whose loss is the sum of the output, and whose update is none. */
function step(more: Partial<StepParts>) {
  const b = new Builder(model);
  return assembled(b, {
    model,
    output: "y",
    accumulate: 1,
    wanted: new Set(["w"]),
    lossName: "total",
    losses: (_, nameOf) => {
      b.phase = "loss";
      const y = nameOf("y");
      const loss = b.op("ReduceSum", [y], { keepdims: { type: "int", value: 0 } });
      Object.assign(b, { phase: "backward", category: "temporary" });
      return { loss, isMean: false, seeds: new Map([[y, b.constant("float32", [2, 1], 1)]]) };
    },
    finish: (loss) => ({ outputs: [loss], loss }),
    update: (flats) => flats.map(({ parameters, gradients }) => ({ before: parameters, after: gradients })),
    ...more,
  });
}

test("assembled(…) joins what its parts append: loss, gradients in flat buffers, update", () => {
  const { loss, state, nodes, inputs } = step({});
  assert.equal(loss, "total");
  assert.deepEqual(state, [{ before: "parameters", after: "gradients" }]);
  assert.deepEqual(inputs, ["x"]);
  assert.deepEqual(
    nodes.map(({ op, phase }) => `${phase} ${op}`),
    ["forward MatMul", "loss ReduceSum", "backward Gemm"],
  );
});

test("assembled(…) repeats the forward graph for each micro-batch, and adds their losses up", () => {
  const { nodes, inputs } = step({ accumulate: 2 });
  assert.deepEqual(inputs, ["x", "x@micro2"]);
  assert.deepEqual(
    nodes.map(({ op }) => op),
    ["MatMul", "ReduceSum", "Gemm", "MatMul", "ReduceSum", "Gemm", "Add", "Add"],
  );
});

test("assembled(…) of models that are updated apart has rows of one model each; without gradients it says so", () => {
  assert.deepEqual(step({ updates: { models: 3, isGuarded: false } }).tensors.get("parameters")?.shape, [3, 1]);
  assert.throws(() => step({ wanted: new Set() }), /^Error: no trainable parameters: output y of n depends on none/);
});
