import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { tensorBytes } from "../../src/graph/graph.js";
import { soon } from "../../src/step/flat.js";
import { trainingStep } from "../../src/step/training.js";

const model = parseGraph(`graph net(float32[4,3] x, parameter float32[3,1] odd, parameter float32[3,16] even,
  parameter float64[16] wide) => (y) {
  a = MatMul(x, even)
  b = Cast<to=11>(a)
  c = Mul(b, wide)
  d = Cast<to=1>(c)
  e = MatMul(x, odd)
  y = Add(d, e)
}`);

test("flatten(…): parameters of one type lie side by side, those first that keep the next one aligned; gradients alike", () => {
  const { tensors } = trainingStep(model, { loss: "mse", optimizer: "sgd:momentum=0" });
  const place = (name: string) => tensors.get(name)?.within;
  assert.deepEqual(place("even"), { tensor: "parameters", offsetBytes: 0 });
  assert.deepEqual(place("odd"), { tensor: "parameters", offsetBytes: 3 * 16 * 4 });
  assert.deepEqual(place("wide"), { tensor: "parameters.float64", offsetBytes: 0 });
  for (const name of ["even", "odd", "wide"])
    assert.deepEqual(place(`${name}.grad`), {
      tensor: place(name)?.tensor.replace("parameters", "gradients"),
      offsetBytes: place(name)?.offsetBytes,
    });
  assert.equal(tensorBytes(tensors.get("gradients")!), 3 * 17 * 4);
});

test("accumulateGradients(…): sums of micro-batches are named after them, and lie in one place", () => {
  const { nodes, tensors } = trainingStep(model, { loss: "mse", optimizer: "sgd:momentum=0", accumulate: 3 });
  const sums = ["odd.grad@micro1", "odd.grad@micro2", "odd.grad"];
  for (const name of sums) assert.deepEqual(tensors.get(name)?.within, tensors.get("odd.grad")?.within, name);
  const makers = sums.slice(1).map((name) => nodes.find(({ outputs }) => outputs.includes(name)));
  assert.deepEqual(
    makers.map((node) => [node?.op, node?.inputs[0]]),
    [
      ["Add", "odd.grad@micro1"],
      ["Add", "odd.grad@micro2"],
    ],
  );
});

test("soon(nodes, accumulations) puts each one right behind the node that it waits for", () => {
  const { nodes } = parseGraph(`graph g(float32[2] x) => (d) {
  a = Exp(x)
  b = Sin(x)
  c = Cos(x)
  d = Add(a, b)
}`);
  const [, , , add] = nodes;
  const moved = soon(nodes, new Map([["b", [add!]]]));
  assert.deepEqual(
    moved.map(({ name }) => name),
    ["a", "b", "d", "c"],
  );
});
