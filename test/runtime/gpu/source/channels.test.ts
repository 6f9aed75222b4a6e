import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../../../src/build/text.js";
import { bytesOf, valuesOf } from "../../../../src/graph/values.js";
import { channelKernels, parts } from "../../../../src/runtime/gpu/source/channels.js";
import { fusedSource } from "../../../../src/runtime/gpu/source/fused.js";
import { compiled, onHost, place, placed, runLaunches } from "./on-host.js";

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

test("channelKernels(one place of one image) sums as many numbers as there are elements", onHost, () => {
  for (const [shape, form] of [
    ["1,20,1,1", ""],
    ["1,1,1,20", "ChannelsLast"],
  ]) {
    const vectors = ["s", "m", "v"].map((name) => `float32[20] ${name}`).join(", ");
    const made = fusedSource(
      parseGraph(`graph(float32[${shape}] dy, float32[${shape}] x, ${vectors}) => (e, slope, ds, db) {
  e = Neg(dy)
  slope, _, _, ds, db = mutwo.BatchNormalizationGradientSums${form}(e, x, s, m, v)
}`),
      true,
      4,
    );
    const numbers = (value: (i: number) => number): number[] => Array.from({ length: 20 }, (_, i) => value(i));
    const given = { dy: numbers((i) => i + 1), x: numbers((i) => 3 * i), s: numbers(() => 2), m: numbers(() => 1) };
    const values = { ...given, v: numbers((i) => i + 1) };
    const results = ["e", "slope", "ds", "db"].map((name) => [name, place(80)] as const);
    const operands = Object.entries(values).map(([name, list]) => [name, placed(bytesOf("float32", list))] as const);
    runLaunches(compiled(made.launches.map(({ source }) => source)), made, new Map([...operands, ...results]));
    const result = Object.fromEntries(results.map(([name, bytes]) => [name, valuesOf("float32", bytes)]));
    assert.deepEqual(result, {
      e: numbers((i) => -i - 1),
      slope: numbers((i) => 2 * (i + 1)),
      ds: numbers((i) => -(i + 1) * (3 * i - 1) * (i + 1)),
      db: numbers((i) => -i - 1),
    });
  }
});
