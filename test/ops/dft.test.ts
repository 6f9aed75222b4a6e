import assert from "node:assert/strict";
import { after, test } from "node:test";
import { type Attributes, int } from "../../src/graph/graph.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { lower } from "../../src/step/lower.js";
import { addNormalized, buildSample, distance, graphOf, loaded, randoms } from "../sampled.js";
import type { SampleInput } from "../samples/sample.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

const scalar = (value: number): SampleInput => ({ dtype: "int64", shape: [], values: [value], constant: true });

/** What a node makes of its inputs, and how many nodes it became. */
async function made(op: string, inputs: readonly (SampleInput | undefined)[], attributes: Attributes = {}) {
  const sample = { op, inputs, attributes, opsets: [20] };
  const { b, node, values } = buildSample(sample, "float64");
  const [y = ""] = addNormalized(b, node, sample);
  const step = loaded(lower(graphOf(b, [y]), cpu.hasKernel), cpu);
  const result = (await step.run(values)).get(y) as number[];
  step.close();
  return { result, shape: b.type(y).shape, ops: b.nodes.map((one) => one.op), constants: [...b.tensors.values()] };
}

/** Σ x[i]·exp(±2πi·i·k/n) of interleaved complex numbers, one sum after another. */
function slow(x: readonly number[], n: number, bins: number, sign: number): number[] {
  return Array.from({ length: bins }, (_, k) => {
    let [re, im] = [0, 0];
    for (let i = 0; 2 * i < x.length && i < n; i++) {
      const angle = (sign * 2 * Math.PI * ((i * k) % n)) / n;
      const [p, q] = [x[2 * i] as number, x[2 * i + 1] as number];
      re += p * Math.cos(angle) - q * Math.sin(angle);
      im += p * Math.sin(angle) + q * Math.cos(angle);
    }
    return [re, im];
  }).flat();
}

const noise = (count: number): number[] => {
  const random = randoms(count);
  return Array.from({ length: count }, () => random() - 0.5);
};

test("DFT of a long signal is written as shorter transforms, and is the same sum", async () => {
  for (const n of [2048, 1500, 2 * 997]) {
    const x = noise(n);
    const { result, ops, constants } = await made("DFT", [{ shape: [1, n, 1], values: x }], { onesided: int(1) });
    const complex = x.flatMap((v) => [v, 0]);
    assert.ok(distance(result, slow(complex, n, n / 2 + 1, -1)) < 1e-10, String(n));
    assert.ok(ops.filter((op) => op === "MatMul").length >= 2, `${n}: ${ops}`);
    const bytes = constants.reduce((sum, { data }) => sum + (data?.length ?? 0), 0);
    // a factor of 2 alone saves nothing
    assert.ok(bytes < (n === 2 * 997 ? 5 : 1) * n * n * 8, `${n}: ${bytes} bytes of constants`);
  }
  const x = noise(2 * 2048);
  const inverse = await made("DFT", [{ shape: [1, 2048, 2], values: x }], { inverse: int(1) });
  const expected = slow(x, 2048, 2048, 1).map((v) => v / 2048);
  assert.ok(distance(inverse.result, expected) < 1e-10);
});

test("DFT pads a long signal to dft_length, or cuts it", async () => {
  for (const n of [1600, 3000]) {
    const x = noise(2000);
    const { result } = await made("DFT", [{ shape: [1, 2000, 1], values: x }, scalar(n)]);
    const complex = x.flatMap((v) => [v, 0]);
    assert.ok(distance(result, slow(complex, n, n, -1)) < 1e-10, String(n));
  }
});

test("DFT with inverse and onesided gives the real signal back, of even and odd length", async () => {
  for (const n of [8, 9]) {
    const x = noise(n);
    const half = slow(
      x.flatMap((v) => [v, 0]),
      n,
      Math.floor(n / 2) + 1,
      -1,
    );
    const inputs = [{ shape: [1, half.length / 2, 2], values: half }, scalar(n)];
    const { result, shape } = await made("DFT", inputs, { inverse: int(1), onesided: int(1) });
    assert.deepEqual([...shape], [1, n, 1]);
    assert.ok(distance(result, x) < 1e-12);
  }
});

// ONNX Runtime 1.29 multiplies complex frames by what lies behind the window
test("STFT of complex numbers multiplies both parts by the window", async () => {
  const x = noise(18);
  const window = [0.2, 0.9, 1, 0.4];
  const inputs = [{ shape: [1, 9, 2], values: x }, scalar(2), { shape: [4], values: window }];
  const { result, shape } = await made("STFT", inputs, { onesided: int(0) });
  assert.deepEqual([...shape], [1, 3, 4, 2]);
  const expected = [0, 2, 4].flatMap((at) =>
    slow(
      x.slice(2 * at, 2 * at + 8).map((v, i) => v * (window[Math.floor(i / 2)] as number)),
      4,
      4,
      -1,
    ),
  );
  assert.ok(distance(result, expected) < 1e-12);
});

test("a transform that needs too large a matrix is refused with what fits", async () => {
  const prime = { shape: [1, 15013, 1], values: new Array<number>(15013).fill(0) };
  await assert.rejects(made("DFT", [prime]), /Fourier transform of 15013 elements: .* give a dft_length/);
  // so many constants would take all memory there is
  const short = { shape: [1, 4, 1] };
  await assert.rejects(
    made("DFT", [short, scalar(1e9)]),
    /Fourier transform of 1000000000 elements is too long: the most is 4194304/,
  );
});
