import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import type { Batch } from "../../src/data/batch.js";
import { valuesOf } from "../../src/graph/values.js";
import { trainingStep } from "../../src/step/training.js";
import { StepInputs } from "../../src/train/step-inputs.js";

const text = `graph(int64[2,3] tokens, parameter float32[7,4] table, parameter float32[4,5] w) => (y) {
  seen = Gather(table, tokens)
  y = MatMul(seen, w)
}`;

function inputsOf(loss: string, accumulate = 1, model = parseGraph(text)) {
  const step = trainingStep(model, { loss, optimizer: "sgd", accumulate });
  return { step, inputs: new StepInputs(step, model, loss, accumulate) };
}

/** What is handed over, as numbers. */
function handed({ step, inputs }: ReturnType<typeof inputsOf>, batch: Batch, withTarget = true) {
  const all: [string, number, number[]][] = [];
  inputs.hand(
    batch,
    (name, bytes, micro) => {
      all.push([name, micro, valuesOf(step.tensors.get(name)?.dtype ?? "float32", bytes)]);
    },
    withTarget,
  );
  return all;
}

test("StepInputs tells the limits of class numbers and look-ups, and the class that is left out", () => {
  assert.deepEqual(inputsOf("ce:ignore_index=-100").inputs.tensors, [
    { name: "tokens", dtype: "int64", shape: [2, 3], limit: 7, isTarget: false },
    { name: "target", dtype: "int64", shape: [2, 3], limit: 5, ignoreIndex: -100, isTarget: true },
  ]);
  assert.deepEqual(
    inputsOf("sum").inputs.tensors.map(({ name }) => name),
    ["tokens"],
  );
  const regression = inputsOf("mse").inputs.tensors[1];
  assert.deepEqual(regression, { name: "target", dtype: "float32", shape: [2, 3, 5], isTarget: true });
});

test("hand(batch) converts numbers that fit, takes `input` for the one input, and cuts micro-batches", () => {
  const made = inputsOf("ce", 2);
  assert.deepEqual(
    made.inputs.tensors.map(({ shape }) => shape),
    [
      [4, 3],
      [4, 3],
    ],
  );
  const tokens = [0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4];
  const target = Uint8Array.from(tokens, (x) => x % 5);
  assert.deepEqual(handed(made, { input: tokens, target }), [
    ["tokens", 0, [0, 1, 2, 3, 4, 5]],
    ["tokens@micro2", 1, [6, 0, 1, 2, 3, 4]],
    ["target", 0, [0, 1, 2, 3, 4, 0]],
    [made.step.inputs[3] as string, 1, [1, 0, 1, 2, 3, 4]],
  ]);
  assert.deepEqual(
    handed(made, { tokens: BigInt64Array.from(tokens, BigInt) }, false).map(([name]) => name),
    ["tokens", "tokens@micro2"],
  );
});

test("hand(batch) names an index out of range with its place, and hands nothing over then", () => {
  const made = inputsOf("ce:ignore_index=-100");
  const target = [0, 1, 2, 3, 4, -100];
  assert.equal(handed(made, { tokens: [0, 0, 0, 0, 0, 6], target }).length, 2);
  const wrong: [Batch, RegExp][] = [
    [
      { tokens: [0, 0, 0, 0, 7, 0], target },
      /^Error: index out of range: 7 at \[1, 1\] of tokens \(whole numbers from 0 to 6\)$/,
    ],
    [{ tokens: [0, 0, 0, 0, -1, 0], target }, /index out of range: -1 at \[1, 1\]/],
    [
      { tokens: [0, 0, 0, 0, 0, 0], target: [0, 5, 0, 0, 0, 0] },
      /^Error: class number out of range: 5 at \[0, 1\] of target \(whole numbers from 0 to 4, or -100\)$/,
    ],
    [{ tokens: [0, 0, 0], target }, /^Error: shape mismatch: tokens has 3 elements, int64\[2,3\] has 6$/],
  ];
  for (const [batch, message] of wrong) {
    const seen: string[] = [];
    assert.throws(() => made.inputs.hand(batch, (name) => seen.push(name)), message);
    assert.deepEqual(seen, []);
  }
});

test("hand(batch) keeps the bits of 16-bit floats, and converts others to them", () => {
  const half = parseGraph("graph(float16[2,2] x, parameter float16[2,2] w) => (y) { y = MatMul(x, w) }");
  const made = inputsOf("mse", 1, half);
  const [bits, converted] = [Uint16Array.of(0x3c00, 0, 0xbc00, 0x4000), Float32Array.of(1, 0, -1, 2)];
  for (const x of [bits, converted]) assert.deepEqual(handed(made, { x, target: bits })[0]?.[2], [1, 0, -1, 2]);
});
