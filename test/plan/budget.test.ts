import assert from "node:assert/strict";
import { test } from "node:test";
import { budgetBytesOf, parseBudget, parseFit, parseHostMemory, parseSlowdown } from "../../src/plan/budget.js";

test("parseBudget(text) reads sizes in either kind of unit, and shares", () => {
  const cases: readonly [string, number][] = [
    ["4GiB", 4 * 2 ** 30],
    ["500MB", 5e8],
    [" 1.5 kib ", 1536],
    ["0.5B", 0],
    ["12b", 12],
  ];
  for (const [text, bytes] of cases)
    if (bytes) assert.deepEqual(parseBudget(text), { bytes }, text);
    else assert.throws(() => parseBudget(text), /budget is not a size/);
  assert.deepEqual(parseBudget("60%"), { share: 0.6 });
  assert.deepEqual(parseBudget("100 %"), { share: 1 });
});

test("parseBudget(text) refuses everything else", () => {
  for (const text of ["", "4", "GiB", "-1GiB", "0%", "0GiB", "101%", "4 parsecs", "1e3MB", "9999999TiB"])
    assert.throws(() => parseBudget(text), {
      message: `budget is not a size: ${text} (use 4GiB, 500MB or 60%)`,
    });
});

test("budgetBytesOf(budget, baseline) takes a share of the baseline, whole bytes", () => {
  assert.equal(budgetBytesOf("12.5%", 1001), 125);
  assert.equal(budgetBytesOf("1KB", 10), 1000);
});

test("parseSlowdown(text) reads a share, parseHostMemory(text) a size, and neither reads the other", () => {
  assert.equal(parseSlowdown(" 12.5 % "), 0.125);
  assert.equal(parseSlowdown("150%"), 1.5);
  for (const text of ["", "10", "-1%", "ten%", "1GiB"])
    assert.throws(() => parseSlowdown(text), { message: `slowdown is not a share: ${text} (use 10%)` });
  assert.equal(parseHostMemory("16GiB"), 2 ** 34);
  for (const text of ["", "50%", "16", "-1GiB", "0GiB"])
    assert.throws(() => parseHostMemory(text), { message: `host memory is not a size: ${text} (use 16GiB or 500MB)` });
});

test("parseFit(text) reads a size, with the name of the batch before it or without", () => {
  assert.deepEqual(parseFit("24GiB"), { bytes: 24 * 2 ** 30 });
  assert.deepEqual(parseFit("batch size=1KiB"), { bytes: 1024, dim: "batch size" });
  for (const text of ["", "50%", "batch=", "batch=50%", "batch"])
    assert.throws(() => parseFit(text), { message: `memory to fit is not a size: ${text} (use 24GiB or batch=24GiB)` });
});
