import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import type { Model, ModelNode } from "../../src/model/model.js";
import { openOnnx } from "../../src/model/onnx.js";
import { roles } from "../../src/model/roles.js";
import { readSafetensors } from "../../src/model/safetensors.js";
import { at } from "../at.js";
import { modelNode as node } from "./model-node.js";
import { modelOf as model, vectorsOf } from "./model-of.js";

/** A model of float32 vectors. */
const modelOf = (initializers: Record<string, number[]>, nodes: ModelNode[]): Model =>
  model(nodes, { producer: "pytorch 2.9", initializers: vectorsOf(initializers) });

test("roles(model) says which parameters an exporter seems to have merged", () => {
  const nodes = [node("a = Add(x, zero)"), node("b = Add(a, zero)"), node("c = Mul(b, w)"), node("y = Mul(c, w)")];
  const { parameters, notes } = roles(modelOf({ zero: [0, 0], w: [1, 2] }, nodes));
  assert.deepEqual([...parameters], ["zero", "w"]);
  assert.equal(notes.length, 1);
  assert.match(notes[0] ?? "", /^1 parameters look merged: .* \(zero\);.*optimize=False/);
  assert.deepEqual(roles(modelOf({ zero: [0, 0], w: [1, 2] }, nodes.slice(2))).notes, []);
});

test("roles(model) refuses weights that are not numbers and takes infinite ones for masks", () => {
  const nodes = [node("a = Add(x, w)"), node("y = Add(a, mask)")];
  assert.throws(
    () => roles(modelOf({ w: [1, Number.NaN], mask: [0, 0] }, nodes)),
    /^Error: not a number: 1 of 2 values of w are NaN$/,
  );
  const infinite = modelOf({ w: [1, 2], mask: [5, Number.NEGATIVE_INFINITY] }, nodes);
  const { parameters, untrained } = roles(infinite);
  assert.deepEqual([...parameters], ["w"]);
  assert.deepEqual(untrained, [{ name: "mask", shape: [2], reason: "infinite values: a mask" }]);
  const product = modelOf({ w: [1, Number.POSITIVE_INFINITY] }, [node("y = MatMul(x, w)")]);
  assert.throws(() => roles(product), /^Error: not finite: 1 of 2 values of weight w are infinite$/);
});

/** Models whose exporter has merged or renamed parameters: PyTorch's reference has more of them, or other names. */
const merged = new Map([["mlp_zero.opt.onnx", 6]]);

for (const file of readdirSync(at("fixtures")).filter((name) => name.endsWith(".onnx")))
  test(`roles(${file}) trains what PyTorch does`, (context) => {
    const reference = at("fixtures", file.replace(/(\.\w+)?\.onnx$/, ".safetensors"));
    const { parameters } = roles(openOnnx(at("fixtures", file)));
    const known = merged.get(file);
    if (known !== undefined) return assert.equal(parameters.size, known);
    if (!readdirSync(at("fixtures")).includes(reference.split(/[\\/]/).at(-1) as string))
      return context.skip("no reference values");
    const gradients = [...readSafetensors(reference).keys()].filter((name) => name.startsWith("grad."));
    assert.deepEqual([...parameters].sort(), gradients.map((name) => name.slice("grad.".length)).sort());
  });
