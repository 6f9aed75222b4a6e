import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../../../src/build/text.js";
import { bytesPerElement, type DType } from "../../../../src/graph/graph.js";
import { randomFrom } from "../../../../src/graph/random.js";
import { bytesOf, valuesOf } from "../../../../src/graph/values.js";
import { fusedSource } from "../../../../src/runtime/gpu/source/fused.js";
import { statisticsSource } from "../../../../src/runtime/gpu/source/norm.js";
import type { ChannelShape } from "../../../../src/runtime/gpu/source/norm-kernels.js";
import { compiled, onHost, place, placed, runLaunches } from "./on-host.js";

const random = randomFrom(3);
const epsilon = 1e-5;
const momentum = 0.9;

interface Case {
  readonly shape: { readonly before: number; readonly kept: number; readonly after: number };
  readonly dtype: DType;
  readonly vector: DType;
}

const typeOf = (before: number, kept: number, after: number, dtype: DType = "float32"): Case => ({
  shape: { before, kept, after },
  dtype,
  vector: dtype === "float64" ? "float64" : "float32",
});

const over = (shape: Case["shape"]): ChannelShape => ({ shape, aligned: true, multiprocessors: 4 });

const size = bytesPerElement;

const numbersOf = (count: number, value: (i: number) => number): number[] =>
  Array.from({ length: count }, (_, i) => value(i));

const rounded = (dtype: DType, values: readonly number[]): number[] => valuesOf(dtype, bytesOf(dtype, values));

/** What the kernels of a norm give for those values, and what the definition gives in float64. */
function both(type: Case, centre: number, form: "" | "ChannelsLast" = "") {
  const { dtype, vector, shape } = type;
  const { before, kept, after } = shape;
  const count = before * kept * after;
  const channel = (i: number): number => Math.floor(i / after) % kept;
  const x = rounded(
    dtype,
    numbersOf(count, (i) => centre * (channel(i) + 1) + 3 * random()),
  );
  const dY = rounded(
    dtype,
    numbersOf(count, () => random() - 0.5),
  );
  const [scale, bias, mean, variance] = numbersOf(4, () => 0).map(() =>
    rounded(
      vector,
      numbersOf(kept, () => 0.5 + random()),
    ),
  ) as [number[], number[], number[], number[]];
  const forward = statisticsSource(over(shape), { x: dtype, vector }, epsilon, {
    momentum,
    mean: true,
    variance: true,
  });
  const [full, list] = [
    `${dtype}[${form ? `1,${before},${kept}` : `${before},${kept},${after}`}]`,
    `${vector}[${kept}]`,
  ];
  const vectorsGiven = (...names: string[]): string => names.map((name) => `${list} ${name}`).join(", ");
  const kernelsOf = (text: string) => fusedSource(parseGraph(text), true, 4);
  const applied = kernelsOf(`graph(${full} x, ${vectorsGiven("s", "b", "m", "v")}) => (y) {
  y = mutwo.BatchNormalizationApply${form}(x, s, b, m, v)
}`);
  const summed =
    kernelsOf(`graph(${full} dy, ${full} x, ${vectorsGiven("s", "m", "v")}) => (slope, tilt, level, ds, db) {
  slope, tilt, level, ds, db = mutwo.BatchNormalizationGradientSums${form}(dy, x, s, m, v)
}`);
  const back = kernelsOf(`graph(${full} dy, ${full} x, ${vectorsGiven("m", "slope", "tilt", "level")}) => (dx) {
  dx = mutwo.BatchNormalizationGradientApply${form}(dy, x, m, slope, tilt, level)
}`);
  const run = compiled([
    forward.sums,
    forward.finish,
    ...[applied, summed, back].flatMap(({ launches }) => launches.map(({ source }) => source)),
  ]);
  const given = (type: DType, values: readonly number[]): Uint8Array => placed(bytesOf(type, values));
  const vectors = (n: number): Uint8Array[] => numbersOf(n, () => 0).map(() => place(kept * size(vector)));
  const [at, dAt] = [given(dtype, x), given(dtype, dY)];
  const [s, b, m, v] = [scale, bias, mean, variance].map((values) => given(vector, values)) as [
    Uint8Array,
    Uint8Array,
    Uint8Array,
    Uint8Array,
  ];
  const [batchMean, inverse, newMean, newVariance, slope, tilt, level, dScale, dBias] = vectors(9) as Uint8Array[];
  const [y, dX] = [place(count * size(dtype)), place(count * size(dtype))];
  const parts = place(forward.partsBytes);
  const all = (list: readonly (Uint8Array | undefined)[]): Uint8Array[] => list as Uint8Array[];
  run(forward.sums, all([at, parts]));
  run(forward.finish, all([parts, at, batchMean, inverse, m, newMean, v, newVariance]));
  const operands = (named: Record<string, Uint8Array | undefined>): Map<string, Uint8Array> =>
    new Map(Object.entries(named) as [string, Uint8Array][]);
  runLaunches(run, applied, operands({ x: at, s, b, m: batchMean, v: inverse, y }));
  runLaunches(
    run,
    summed,
    operands({ dy: dAt, x: at, s, m: batchMean, v: inverse, slope, tilt, level, ds: dScale, db: dBias }),
  );
  runLaunches(run, back, operands({ dy: dAt, x: at, m: batchMean, slope, tilt, level, dx: dX }));
  const made = (type: DType, bytes: Uint8Array | undefined): number[] => valuesOf(type, bytes as Uint8Array);
  const actual = {
    y: made(dtype, y),
    mean: made(vector, batchMean),
    inverse: made(vector, inverse),
    newMean: made(vector, newMean),
    newVariance: made(vector, newVariance),
    dX: made(dtype, dX),
    dScale: made(vector, dScale),
    dBias: made(vector, dBias),
  };
  return { actual, expected: definition({ x, dY, scale, bias, mean, variance, kept, channel }), channel };
}

/** Batch norm and its gradient as they are defined, in float64. */
function definition(given: {
  x: number[];
  dY: number[];
  scale: number[];
  bias: number[];
  mean: number[];
  variance: number[];
  kept: number;
  channel: (i: number) => number;
}) {
  const { x, dY, scale, bias, mean, variance, kept, channel } = given;
  const n = x.length / kept;
  const sum = (term: (i: number) => number): number[] => {
    const sums = new Array<number>(kept).fill(0);
    x.forEach((_, i) => {
      sums[channel(i)] = (sums[channel(i)] as number) + term(i);
    });
    return sums;
  };
  const of = (list: readonly number[], i: number): number => list[channel(i)] as number;
  const middle = sum((i) => x[i] as number).map((s) => s / n);
  const off = (i: number): number => (x[i] as number) - of(middle, i);
  const spread = sum((i) => off(i) ** 2).map((s) => s / n);
  const inverse = spread.map((s) => 1 / Math.sqrt(s + epsilon));
  const dBias = sum((i) => dY[i] as number);
  const dScale = sum((i) => (dY[i] as number) * off(i) * of(inverse, i));
  const blend = (old: number[], batch: number[]): number[] =>
    old.map((value, c) => momentum * value + (1 - momentum) * (batch[c] as number));
  return {
    y: x.map((_, i) => off(i) * of(inverse, i) * of(scale, i) + of(bias, i)),
    mean: middle,
    inverse,
    newMean: blend(mean, middle),
    newVariance: blend(variance, spread),
    dX: dY.map(
      (dy, i) =>
        of(scale, i) * of(inverse, i) * (dy - of(dBias, i) / n - (off(i) * of(inverse, i) * of(dScale, i)) / n),
    ),
    dScale,
    dBias,
  };
}

for (const [what, type, centre, limit, form] of [
  ["images whose rows are read by fours", typeOf(3, 5, 64), 0, 1e-6],
  ["images of an odd size", typeOf(4, 3, 49), 0, 1e-6],
  ["long channels in several parts", typeOf(8, 2, 2500), 1, 1e-6],
  ["few values of many channels", typeOf(70, 40, 1), 0, 1e-6],
  ["few channels alone", typeOf(33, 3, 1), 0, 1e-6],
  ["float64", typeOf(3, 5, 36, "float64"), 1, 1e-13],
  ["channels a thousand times their spread from 0", typeOf(4, 3, 400), 3000, 2e-3],
  ["channels last, four of them for each thread", typeOf(700, 64, 1), 0, 1e-6, "ChannelsLast"],
  ["channels last, too many for one block", typeOf(90, 272, 1), 0, 1e-6, "ChannelsLast"],
  ["channels last, of an odd number", typeOf(90, 37, 1), 0, 1e-6, "ChannelsLast"],
  ["channels last, few", typeOf(500, 12, 1), 0, 1e-6, "ChannelsLast"],
  ["channels last, bfloat16", typeOf(300, 40, 1, "bfloat16"), 0, 2 ** -8, "ChannelsLast"],
  ["channels last, float16, of an odd number", typeOf(300, 21, 1, "float16"), 1, 2 ** -11, "ChannelsLast"],
] as const)
  test(`statisticsSource and the parts of batch norm that are fused follow the definition: ${what}`, onHost, () => {
    const { actual, expected } = both(type, centre, form);
    for (const [name, values] of Object.entries(expected)) {
      const got = actual[name as keyof typeof actual];
      const scale = Math.max(...values.map(Math.abs));
      values.forEach((value, i) => {
        const other = got[i] as number;
        assert.ok(Math.abs(other - value) <= limit * scale, `${name}[${i}] is ${other}, not ${value}`);
      });
    }
  });

test("the gradients of X cancel over a channel to the last bits of its elements", onHost, () => {
  const { actual, channel } = both(typeOf(8, 3, 400), 1);
  const [sums, sizes] = [new Float64Array(3), new Float64Array(3)];
  actual.dX.forEach((value, i) => {
    sums[channel(i)] = (sums[channel(i)] as number) + value;
    sizes[channel(i)] = (sizes[channel(i)] as number) + Math.abs(value);
  });
  sums.forEach((sum, c) => {
    assert.ok(Math.abs(sum) <= 2 ** -24 * (sizes[c] as number), `channel ${c}: ${sum} of ${sizes[c]}`);
  });
});

test("statisticsSource(images) fills the device with parts", () => {
  const source = statisticsSource(
    over({ before: 64, kept: 16, after: 3136 }),
    { x: "float32", vector: "float32" },
    1e-5,
    {
      momentum,
      mean: false,
      variance: false,
    },
  );
  assert.equal(source.sums.blocks, 48);
  assert.equal(source.partsBytes, 16 * 3 * 16);
});
