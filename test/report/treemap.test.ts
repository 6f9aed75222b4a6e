import assert from "node:assert/strict";
import { test } from "node:test";
import { categoryColors } from "../../src/report/figure.js";
import { squarify, textOn, tilesOf } from "../../src/report/treemap.js";
import { peakParts } from "../../src/run/peak-parts.js";
import { goldenRun } from "../golden-run.js";

test("squarify(sizes, box) gives the boxes of the paper's example", () => {
  const boxes = squarify([6, 6, 4, 3, 2, 2, 1], { x: 0, y: 0, width: 6, height: 4 });
  const rounded = boxes.map((box) => Object.values(box).map((n) => Math.round(100 * n) / 100));
  assert.deepEqual(rounded.slice(0, 4), [
    [0, 0, 3, 2],
    [0, 2, 3, 2],
    [3, 0, 1.71, 2.33],
    [4.71, 0, 1.29, 2.33],
  ]);
});

test("squarify(sizes, box) fills the box without overlap, each box as large as its size", () => {
  const sizes = Array.from({ length: 60 }, (_, i) => 1000 / (i + 1));
  const all = sizes.reduce((sum, size) => sum + size, 0);
  const boxes = squarify(sizes, { x: 1, y: 2, width: 3, height: 1 });
  boxes.forEach((a, i) => {
    assert.ok(Math.abs(a.width * a.height - (3 * (sizes[i] ?? 0)) / all) < 1e-9);
    assert.ok(a.x > 1 - 1e-9 && a.y > 2 - 1e-9 && a.x + a.width < 4 + 1e-9 && a.y + a.height < 3 + 1e-9);
    for (const z of boxes.slice(0, i)) {
      const across = Math.min(a.x + a.width, z.x + z.width) - Math.max(a.x, z.x);
      const down = Math.min(a.y + a.height, z.y + z.height) - Math.max(a.y, z.y);
      assert.ok(across < 1e-9 || down < 1e-9, `${i} overlaps`);
    }
  });
  assert.deepEqual(squarify([], { x: 0, y: 0, width: 1, height: 1 }), []);
});

test("tilesOf(holders) has a tile for each holder of the peak, and one for those beyond many", () => {
  const holders = peakParts(goldenRun("mlp-cpu"), "unplanned").filter(({ bytes }) => bytes > 0);
  assert.equal(tilesOf(holders, true).length, holders.length);
  const [one] = holders;
  assert.ok(one);
  const many = tilesOf(
    Array.from({ length: 500 }, (_, i) => ({ ...one, name: `${i}`, bytes: 1 })),
    true,
  );
  assert.equal(many.length, 201);
  assert.equal(many[0]?.name, "300 others");
  assert.equal(many[1]?.place, tilesOf([one], true)[0]?.place);
  assert.equal(tilesOf([one], false)[0]?.place, "");
});

test("textOn(color) is black on light colours and white on dark ones", () => {
  const on = Object.fromEntries(Object.entries(categoryColors).map(([name, color]) => [name, textOn(color)]));
  assert.equal(on.parameter, "#fff");
  assert.equal(on.input, "#000");
  assert.equal(on.constant, "#000");
});
