import assert from "node:assert/strict";
import { test } from "node:test";
import type { DType } from "../../src/graph/graph.js";
import { bytesOf } from "../../src/graph/values.js";
import { formulaOf, isFilled } from "../../src/model/formula.js";
import { randoms } from "../sampled.js";

const tensor = (shape: number[], values: number[], dtype: DType = "float32") => ({
  dtype,
  shape,
  data: bytesOf(dtype, values),
});

const table = (rows: number, columns: number, of: (row: number, column: number) => number, dtype?: DType) =>
  tensor(
    [rows, columns],
    Array.from({ length: rows * columns }, (_, i) => of(Math.floor(i / columns), i % columns)),
    dtype,
  );

test("formulaOf(tensor) finds even steps and waves along any axis, and nothing in weights", () => {
  const random = randoms(1);
  assert.equal(formulaOf(table(9, 3, (row) => row)), "even");
  assert.equal(formulaOf(table(3, 9, (_, column) => 1 - column / 5)), "even");
  assert.equal(formulaOf(table(1, 8, (_, column) => 10_000 ** (-column / 8))), "wave");
  const angle = (row: number, column: number): number => row * 100 ** (-Math.floor(column / 2) / 4);
  const sines = table(50, 8, (row, column) => (column % 2 ? Math.cos : Math.sin)(angle(row, column)));
  assert.equal(formulaOf(sines), "wave");
  assert.equal(formulaOf(table(6, 4, () => random())), undefined);
  assert.equal(formulaOf(table(1, 4, () => random())), undefined);
  assert.equal(formulaOf(table(6, 4, () => 1)), undefined);
  // numbers that somebody filled in by hand or by one sine
  assert.equal(formulaOf(tensor([4], [1, 2, 3, 4])), undefined);
  assert.equal(formulaOf(table(11, 4, (row, column) => Math.sin(4 * row + column))), undefined);
  assert.equal(formulaOf(table(1, 11, (_, column) => Math.sin(column))), undefined);
  // what changes along an axis that is too short says nothing
  assert.equal(formulaOf(table(3, 3, (row) => row)), undefined);
});

/** Centres of places row by row, of grids of so many columns and rows behind each other, with anchors at each. */
const places = (grids: readonly (readonly [rows: number, columns: number])[], anchors = 1): [number, number][] =>
  grids.flatMap(([rows, columns]) =>
    Array.from({ length: rows * columns * anchors }, (_, i): [number, number] => {
      const place = Math.floor(i / anchors);
      return [((place % columns) + 0.5) / columns, (Math.floor(place / columns) + 0.5) / rows];
    }),
  );

const pairs = (of: readonly (readonly number[])[]) => tensor([1, of.length, of[0]?.length ?? 0], of.flat());

const turned = (of: readonly (readonly number[])[]) =>
  tensor(
    [1, of[0]?.length ?? 0, of.length],
    (of[0] ?? []).flatMap((_, c) => of.map((row) => row[c] as number)),
  );

const pyramid = [
  [25, 34],
  [13, 17],
  [7, 9],
] as const;

/** Centre, width and height of anchors: sizes irregular, the same at each place. */
const anchored = (sizes: readonly number[]): number[][] =>
  places(pyramid, sizes.length).map(([x, y], i) => {
    const size = sizes[i % sizes.length] as number;
    return [x - size / 2, y - size / 3, x + size / 2, y + size / 3];
  });

const sines = (position: number, channel: number, channels: number, base = 10_000): number => {
  const angle = position * base ** (-(channel - (channel % 2)) / channels);
  return channel % 2 ? Math.cos(angle) : Math.sin(angle);
};

const yolo = [
  [80, 80],
  [40, 40],
  [20, 20],
] as const;

const random = randoms(3);

/** ALiBi's slopes as published: for a number of heads that is no power of two, those of the next power follow. */
const slopes = (heads: number): number[] => {
  const whole = 2 ** Math.floor(Math.log2(heads));
  const of = (n: number): number[] => Array.from({ length: n }, (_, i) => 2 ** ((-8 * (i + 1)) / n));
  return [...of(whole), ...of(2 * whole).filter((_, i) => i % 2 === 0)].slice(0, heads);
};

const bias = (heads: number, from: number, to: number, of: (slope: number, i: number, j: number) => number) =>
  tensor(
    [1, heads, from, to],
    slopes(heads).flatMap((slope) =>
      Array.from({ length: from * to }, (_, i) => of(slope, Math.floor(i / to), i % to)),
    ),
  );

const made: readonly (readonly [string, Parameters<typeof formulaOf>[0]])[] = [
  ["a grid of 7 by 7, flattened", pairs(places([[7, 7]]))],
  ["a grid of 4 by 4, flattened", pairs(places([[4, 4]]))],
  ["a grid of 14 by 10, channels first", turned(places([[14, 10]]))],
  [
    "a grid of 7 by 7 by 2",
    tensor(
      [7, 7, 2],
      Array.from({ length: 98 }, (_, i) => (i % 2 ? Math.floor(i / 14) : Math.floor(i / 2) % 7)),
    ),
  ],
  ["points of a pyramid", pairs(places(pyramid))],
  ["points of a pyramid, channels first", turned(places(pyramid))],
  ["points of YOLO's pyramid", turned(places(yolo))],
  [
    "one coordinate of them",
    tensor(
      [1, 8400],
      places(yolo).map(([x]) => x),
    ),
  ],
  [
    "the other coordinate",
    tensor(
      [1, 8400],
      yolo.flatMap(([rows, columns]) => Array.from({ length: rows * columns }, (_, i) => Math.floor(i / columns))),
    ),
  ],
  [
    "strides",
    tensor(
      [8400, 1],
      yolo.flatMap(([rows, columns], level) => new Array<number>(rows * columns).fill(8 * 2 ** level)),
    ),
  ],
  ["anchors", pairs(anchored([0.11, 0.17, 0.07, 0.31, 0.5, 0.23, 0.41, 0.13, 0.19]))],
  [
    "their widths",
    tensor(
      [1242, 1],
      Array.from({ length: 1242 }, (_, i) => [10, 16, 33, 30, 62, 59][i % 6] as number),
    ),
  ],
  ["logits of coordinates", pairs(places(pyramid).map((row) => row.map((v) => Math.log(v / (1 - v)))))],
  [
    "sizes of anchors at every place",
    tensor(
      [1, 3, 8, 8, 2],
      Array.from({ length: 384 }, (_, i) => [10, 13, 16, 30, 33, 23][2 * Math.floor(i / 128) + (i % 2)] as number),
    ),
  ],
  ["slopes of 12 heads", tensor([12, 1, 1], slopes(12))],
  ["slopes of 6 heads", tensor([1, 6, 1, 1], slopes(6))],
  ["a bias by distance", bias(12, 16, 16, (slope, i, j) => -slope * Math.abs(i - j))],
  ["a bias by distance of few places", bias(8, 5, 5, (slope, i, j) => slope * (j - i))],
  ["a bias by position", bias(8, 1, 20, (slope, _, j) => slope * j)],
  ["a causal bias", bias(8, 12, 12, (slope, i, j) => (j > i ? -1e9 : -slope * (i - j)))],
  [
    "sines and cosines of two coordinates behind a class token",
    table(1 + 14 * 10, 16, (row, column) =>
      row === 0 ? 0 : sines(column < 8 ? (row - 1) % 10 : Math.floor((row - 1) / 10), column % 8, 8),
    ),
  ],
  [
    "sines of a grid of 4 by 4",
    table(16, 8, (row, column) => sines(column < 4 ? row % 4 : Math.floor(row / 4), column % 4, 4)),
  ],
  ["two sizes of anchors at each place", table(36, 2, (_, column) => [10, 13][column] as number)],
  ["a bias by distance for one head", table(16, 16, (from, to) => -0.25 * Math.abs(from - to))],
  ["sines from position 1 on", table(40, 16, (row, column) => sines(row + 1, column, 16))],
  ["sines in half precision", table(40, 16, (row, column) => sines(row, column, 16), "float16")],
  ["sines with a row of padding", table(60, 16, (row, column) => (row === 1 ? 0 : sines(row, column, 16)))],
  [
    "sines of channels, rows and columns",
    tensor(
      [1, 16, 12, 12],
      Array.from({ length: 16 * 144 }, (_, i) => {
        const c = Math.floor(i / 144);
        return sines(1 + (c < 8 ? Math.floor(i / 12) % 12 : i % 12), c % 8, 8);
      }),
    ),
  ],
  [
    "an index of relative positions",
    table(64, 64, (from, to) => (Math.floor(from / 8) - Math.floor(to / 8) + 7) * 15 + (from % 8) - (to % 8) + 7),
  ],
  ["coordinates from -1 to 1", table(1, 40, (_, i) => -1 + (2 * i) / 39)],
];

for (const [title, value] of made) test(`formulaOf(tensor) sees ${title}`, () => assert.ok(formulaOf(value)));

const relative = Array.from({ length: 169 }, () => random() - 0.5);

const learned: readonly (readonly [string, Parameters<typeof formulaOf>[0]])[] = [
  ["position embeddings", table(197, 24, () => random() * 0.04 - 0.02)],
  ["the same, smooth", table(64, 16, (row, column) => Math.sin(row * 0.1 + column) + 0.02 * random())],
  ["the same in 8 bits", table(196, 24, () => Math.round(random() * 255) * 0.001)],
  ["the same of three values", table(196, 24, () => Math.round(random() * 2) - 1)],
  ["the same, sparse", table(196, 24, () => (random() < 0.95 ? 0 : random()))],
  ["a scale near one", table(1, 64, () => 1 + 1e-4 * random())],
  ["a scale near one in half precision", table(1, 64, () => 1 + 2e-3 * random(), "float16")],
  [
    "a relative bias, looked up",
    table(
      49,
      49,
      (from, to) =>
        relative[(Math.floor(from / 7) - Math.floor(to / 7) + 6) * 13 + (from % 7) - (to % 7) + 6] as number,
    ),
  ],
  ["the same of 16 places", table(16, 16, (from, to) => relative[from - to + 15] as number)],
  ["a table of relative bias", table(169, 4, () => random() * 0.04)],
  [
    "a class token for each of a batch",
    tensor(
      [64, 1, 48],
      Array.from({ length: 64 * 48 }, (_, i) => Math.sin((i % 48) ** 2)),
    ),
  ],
  ["reference points", table(300, 4, () => random())],
  ["reference points in 4 bits", table(300, 2, () => Math.round(random() * 15) / 15)],
  [
    "a bias of zeros and ones",
    tensor(
      [96],
      Array.from({ length: 96 }, (_, i) => (i >= 24 && i < 48 ? 1 : 0)),
    ),
  ],
  ["one value", table(64, 64, () => 1e-4)],
];

for (const [title, value] of learned)
  test(`formulaOf(tensor) sees none in ${title}`, () => assert.equal(formulaOf(value), undefined));

test("isFilled(tensor) is about all elements in their order", () => {
  assert.ok(isFilled(table(4, 6, (row, column) => 6 * row + column)));
  assert.ok(!isFilled(table(8, 6, (row) => row)));
  assert.ok(!isFilled(table(16, 16, (from, to) => Math.abs(from - to))));
});
