import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../../../src/build/text.js";
import { channelKernels, parts } from "../../../../src/runtime/gpu/source/channels.js";

// what the kernels compute is in norm.test.ts and fused.test.ts

const body = parseGraph(`graph(float32[8,3,64] d, float32[8,3,64] x, float32[3,1] m, float32[3,1] s) => (e, ds) {
  e = Neg(d)
  h = Mul(e, m)
  a, b, c, ds, db = mutwo.BatchNormalizationGradientSums(e, x, s, m, s)
  f, g, i, j, k = mutwo.BatchNormalizationGradientSums(h, x, s, m, s)
}`);

const kernels = (aligned: boolean) => channelKernels(body, body.inputs, [8, 3, 64], 1, { aligned, multiprocessors: 4 });

test("channelKernels(body) is one kernel over the elements, and one for each pair of sums", () => {
  const { launches, partsBytes } = kernels(true);
  assert.deepEqual(
    launches.map(({ operands }) => operands),
    [
      ["d", "x", "m", "s", "e", "ds", parts],
      [parts, "s", "s", "ds"],
      [parts, "s", "s"],
    ],
  );
  assert.equal(partsBytes % (2 * 16 * 3), 0);
});

test("channelKernels(body) reads by fours where addresses allow it, and a channel's numbers once for each thread", () => {
  const [four, one] = [true, false].map((aligned) => kernels(aligned).launches[0]?.source.source ?? "");
  assert.match(four ?? "", /mutwo_four<float> d_4 = /);
  assert.doesNotMatch(one ?? "", /mutwo_four/);
  for (const text of [four, one]) {
    assert.match(text ?? "", /float m_s = mutwo_in<float>\(m\[c\]\);/);
    assert.match(text ?? "", /a0 = a0 \+ e_v;/);
    assert.match(text ?? "", /b1 = b1 \+ h_v \* \(x_v - m_s\);/);
  }
});
