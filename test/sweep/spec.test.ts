import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { readSpec } from "../../src/sweep/spec.js";
import { dynamicModel, sweepFolder } from "../sweep-of.js";

const folder = sweepFolder("specs");

const file = path.join(folder, "spec.yaml");

function pointsOf(text: string) {
  writeFileSync(file, text);
  return readSpec(file);
}

const head = `model: ${dynamicModel}\nloss: ce\noptimizer: sgd\n`;

const shortOf = (text: string) =>
  pointsOf(head + text).map(({ options: { dims, budget, planner, seed } }) =>
    [dims?.batch, budget, planner, seed].map((one) => one ?? "-").join(" "),
  );

test("readSpec(file): a grid is every combination; null is nothing, and without a budget nothing is planned", () => {
  assert.deepEqual(shortOf("planner: mutwo\ngrid:\n  dims: {batch: [2, 4]}\n  budget: [null, 60%]\n"), [
    "2 - - -",
    "2 60% mutwo -",
    "4 - - -",
    "4 60% mutwo -",
  ]);
  assert.deepEqual(
    shortOf("grid:\n  dims: {batch: {from: 2, to: 8, step: 3}}\n  budget: {from: 50%, to: 60%, step: 5%}\n").length,
    9,
  );
  assert.deepEqual(shortOf(""), ["- - - -"]);
});

test("readSpec(file): a list adds points of their own to a grid, over what all have", () => {
  assert.deepEqual(
    shortOf("seed: 3\ngrid: {dims: {batch: [2]}}\nlist:\n  - {dims: {batch: 7}, budget: 1GiB}\n  - {seed: 4}\n"),
    ["2 - - 3", "7 1GiB - 3", "- - - 4"],
  );
});

test("readSpec(file): random points are different, in their ranges, and the same for the same seed", () => {
  const text = (seed: number) =>
    `random:\n  count: 40\n  seed: ${seed}\n  dims: {batch: {from: 1, to: 64, scale: log}}\n  budget: {from: 40%, to: 90%}\n  planner: [best, mutwo]\n`;
  const points = shortOf(text(7));
  assert.equal(new Set(points).size, 40);
  assert.deepEqual(points, shortOf(text(7)));
  assert.notDeepEqual(points, shortOf(text(8)));
  const batches = points.map((point) => Number(point.split(" ")[0]));
  for (const batch of batches) assert.ok(Number.isInteger(batch) && batch >= 1 && batch <= 64, String(batch));
  // each doubling is as likely as another: half of them lie below 8
  const small = batches.filter((batch) => batch <= 8).length;
  assert.ok(small > 10 && small < 32, String(small));
  for (const point of points) assert.match(point, /^\d+ [4-9]\d% (best|mutwo) -$/);
  assert.equal(shortOf("random: {count: 50, dims: {batch: [1, 2]}}").length, 2, "as many as there are");
});

test("readSpec(file): constraints leave points out, of random ones too", () => {
  const text =
    "grid: {dims: {batch: [2, 4, 8]}, budget: [60%, 1GiB]}\nconstraints:\n  - batch < 8\n  - not (batch == 2 and budget == 60%)\n";
  assert.deepEqual(shortOf(text), ["2 1GiB - -", "4 60% - -", "4 1GiB - -"]);
  const random = shortOf("random: {count: 9, dims: {batch: {from: 1, to: 64}}}\nconstraints: batch % 4 == 0\n");
  assert.equal(random.length, 9);
  for (const point of random) assert.equal(Number(point.split(" ")[0]) % 4, 0);
  assert.deepEqual(
    shortOf("constraints: planner == 'best' and seed == 0 and model == 'resnet_bottleneck_dynamic.onnx'\n").length,
    1,
  );
});

test("readSpec(file): models and files are looked for beside the spec", () => {
  const [point] = pointsOf("model: sub/m.onnx\nloss: ce\noptimizer: sgd\nbackend: estimate\ndeviceSpec: h100\n");
  assert.equal(point?.model, path.join(folder, "sub/m.onnx"));
  writeFileSync(path.join(folder, "gpu.json"), "{}");
  assert.throws(() => pointsOf(`${head}backend: estimate\ndeviceSpec: gpu.json\n`), /device spec.*gpu\.json/);
});

const wrong: readonly [text: string, message: RegExp][] = [
  ["model: [", /^spec is not YAML: .*spec\.yaml \(line \d+, column \d+\)$/],
  ["loss: ce\nloss: mse\n", /^spec is not YAML: .* \(line 2, column 1: a key that is there already\)$/],
  ["a: *b\n", /^spec is not YAML: /],
  ["- a\n", /^spec is no list of keys with values/],
  ["", /^spec is no list of keys/],
  ["loss: ce\noptimizer: sgd\n", /^spec names no model/],
  [`${head}gird: {}\n`, /^unknown key: gird \(nearest: grid, /],
  [`${head}grid: {batch: [1]}\n`, /^unknown key: grid\.batch \(nearest: batchNorm/],
  [`${head}grid: [1]\n`, /^grid is \[1\], not keys with values/],
  [`${head}grid: {dims: 8}\n`, /^grid\.dims is 8, not sizes by name/],
  [`${head}grid: {dims: {batch: [2, 0]}}\n`, /^grid\.dims\.batch is 0, not a whole number from 1 on/],
  [`${head}grid: {dims: {batch: [two]}}\n`, /^grid\.dims\.batch is "two", not a whole number from 1 on/],
  [`${head}grid: {budget: []}\n`, /^grid\.budget is an empty list/],
  [`${head}grid: {budget: [90]}\n`, /^budget is not a size: 90/],
  [`${head}grid: {dims: {batch: {from: 4, to: 2}}}\n`, /^grid\.dims\.batch is .*, not a range: /],
  [`${head}grid: {dims: {batch: {from: 1, to: 4, scale: log}}}\n`, /a range of a grid needs a step/],
  [`${head}grid: {dims: {batch: {from: 1, upto: 4}}}\n`, /^unknown key: grid\.dims\.batch\.upto \(a range has from/],
  [`${head}grid: {seed: {from: 1, to: 1000000, step: 1}}\n`, /a range of a grid needs a step/],
  [
    `${head}grid: {seed: {from: 1, to: 2000, step: 1}, dims: {batch: {from: 1, to: 2000, step: 1}}}\n`,
    /^grid has 4,000,000 combinations, at most 1,000,000 are done/,
  ],
  [`${head}record: file\n`, /^unknown key: record/],
  [`${head}tf32: "no"\n`, /^tf32 is "no", not true or false/],
  [`${head}iterations: 0\n`, /^iterations is 0, not a whole number from 1 on/],
  [`${head}execute: 1\n`, /^execute is 1, not true or false/],
  [`${head}list: 4\n`, /^list is 4, not a list of points/],
  [`${head}random: {dims: {batch: [1]}}\n`, /^random\.count is undefined, not a whole number from 1/],
  [`${head}random: {count: 2, seed: -1}\n`, /^random\.seed is -1, not a whole number from 0 on/],
  [`${head}constraints: [4]\n`, /^constraint is 4, not a text/],
  [
    `${head}grid: {dims: {batch: [1]}}\nconstraints: bach < 2\n`,
    /^unknown name in a constraint: bach \(nearest: batch/,
  ],
  [
    `${head}grid: {dims: {batch: [1, 2]}}\nconstraints: [batch > 1, batch > 2]\n`,
    /^no point is left: batch > 2 excludes 2 of 2/,
  ],
  [`${head}random: {count: 3, dims: {batch: [1]}}\nconstraints: batch > 1\n`, /^no point/],
  ["model: m.onnx\nloss: ce\n", /^missing option: optimizer/],
  [`${head}planner: bset\nbudget: 60%\n`, /^unknown planner: bset/],
];

for (const [text, message] of wrong)
  test(`readSpec(file): one line for ${JSON.stringify(text.replace(head, "")).slice(0, 70)}`, () => {
    assert.throws(
      () => pointsOf(text),
      (error: Error) => {
        assert.match(error.message, message);
        assert.doesNotMatch(error.message, /\n/);
        assert.ok(error.message.includes(file), error.message);
        return true;
      },
    );
  });

test("readSpec(file): a file that is not there", () => {
  assert.throws(() => readSpec(path.join(folder, "none.yaml")), { message: /^cannot read sweep's spec: .*ENOENT\)$/ });
});
