import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../../../src/build/text.js";
import { tensorOf } from "../../../../src/graph/graph.js";
import {
  broadcastIndex,
  expressionOf,
  pointwiseKernel,
  scalarOf,
} from "../../../../src/runtime/gpu/source/pointwise.js";

test("broadcastIndex(full, operand, i) divides by what lies below an axis; axes that go together are one", () => {
  assert.equal(broadcastIndex([2, 3, 4], [4], "i"), "((i) % 4u)");
  assert.equal(broadcastIndex([2, 3, 4], [3, 4], "i"), "((i) % 12u)");
  assert.equal(broadcastIndex([2, 3, 4], [2, 3, 1], "i"), "(i / 4u)");
  assert.equal(broadcastIndex([2, 3, 4], [3, 1], "i"), "((i / 4u) % 3u)");
  assert.equal(broadcastIndex([2, 3, 4], [2, 1, 4], "i"), "((i) % 4u) + (i / 12u) * 4u");
  assert.equal(broadcastIndex([2, 3, 4], [1, 1], "i"), "0u");
});

const body = parseGraph(`graph(float32[8,6] x, float32[6] z, float32[1] s) => (y) {
  a = Mul(x, float32[]{2})
  b = Add(a, z)
  c = Cast<to=11>(b)
  d = Cast<to=1>(c)
  y = Sub(d, s)
}`);

const used = ["x", "z", "s"];

test("scalarOf(tensor) is the value of a constant of one element", () => {
  const [, constant = ""] = body.nodes[0]?.inputs ?? [];
  assert.equal(scalarOf(tensorOf(body, constant)), 2);
  assert.equal(scalarOf(tensorOf(body, "s")), undefined);
});

test("expressionOf(Cast) converts, to bool by comparing", () => {
  const of = (text: string) => {
    const graph = parseGraph(`graph(float32[4] x) => (y) { y = ${text} }`);
    return expressionOf(graph.nodes[0] as never, graph, (name) => `${name}_v`);
  };
  assert.equal(of("Cast<to=11>(x)"), "(double)x_v");
  assert.equal(of("Cast<to=9>(x)"), "(x_v != 0)");
});

test("pointwiseKernel(aligned) goes by fours as far as they go, each element's operations are the same", () => {
  const [four, one] = [true, false].map((aligned) => pointwiseKernel(body, used, [8, 6], aligned));
  assert.match(four?.source ?? "", /q < 12u/);
  assert.match(one?.source ?? "", /q < 48u/);
  // of nine elements the last is none of the fours
  const nine = parseGraph("graph(float32[9] x) => (y) { y = Exp(x) }");
  assert.match(pointwiseKernel(nine, ["x"], [9], true).source, /q < 2u\)(.|\n)*q < 1u\)(.|\n)*i0 = 8u \+ q;/);
  const values = (source = "") => source.split("\n").filter((line) => / [abcdy]_v = /.test(line));
  assert.equal(values(four?.source).length, 5);
  assert.deepEqual(values(four?.source), values(one?.source));
  // the scalar is part of the text, the tensor of one element is read once
  assert.match(values(four?.source)[0] ?? "", /\(x_v \* 2e\+0f\)/);
  assert.match(four?.source ?? "", /float s_s = mutwo_in<float>\(s\[0\]\)/);
});
