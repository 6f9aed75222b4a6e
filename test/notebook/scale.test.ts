import assert from "node:assert/strict";
import { test } from "node:test";
import { scaleOf } from "../../src/notebook/scale.js";

test("scaleOf(values) spans them, from zero where the axis says so, with round ticks", () => {
  const scale = scaleOf([20, 100], { rangemode: "tozero" }, 0, 500, 0);
  assert.equal(scale.at(100), 500);
  assert.equal(scale.at(20), 100);
  assert.deepEqual(scale.ticks, [
    [0, "0"],
    [100, "20"],
    [200, "40"],
    [300, "60"],
    [400, "80"],
    [500, "100"],
  ]);
});

test("scaleOf(words) gives each the same room, in their order", () => {
  const scale = scaleOf(["b", "a", "b"], {}, 0, 100, 0);
  assert.deepEqual(scale.ticks, [
    [25, "b"],
    [75, "a"],
  ]);
  assert.equal(scale.unit, 50);
});

test("scaleOf(values) takes logarithms, given ticks and nothing at all", () => {
  const log = scaleOf([1, 100], { type: "log" }, 0, 2, 0);
  assert.equal(log.at(10), 1);
  const named = scaleOf([0, 1], { tickvals: [1], ticktext: ["one"] }, 0, 10, 0);
  assert.deepEqual(named.ticks, [[10, "one"]]);
  assert.deepEqual(scaleOf([], {}, 0, 10, 0).ticks, []);
});
