import assert from "node:assert/strict";
import { test } from "node:test";
import { few, formatBytes, formatBytesBeside, formatCount, formatMs, formatPercent } from "../src/format.js";

test("formatBytes(bytes) has three digits and a binary prefix, whole bytes none", () => {
  const cases: readonly (readonly [number, string])[] = [
    [0, "0 B"],
    [1023, "1023 B"],
    [1024, "1.00 KiB"],
    [1536 * 1024, "1.50 MiB"],
    [31.25 * 2 ** 20, "31.3 MiB"],
    [80 * 2 ** 30, "80.0 GiB"],
    [512 * 2 ** 40, "512 TiB"],
    [2 ** 70, `${2 ** 20} PiB`],
    [-2048, "-2.00 KiB"],
  ];
  for (const [bytes, text] of cases) assert.equal(formatBytes(bytes), text);
});

test("formatMs(ms) is in µs, ms or s", () => {
  const cases: readonly (readonly [number, string])[] = [
    [0, "0 ms"],
    [0.0015, "1.50 µs"],
    [0.999, "999 µs"],
    [1, "1.00 ms"],
    [12.34, "12.3 ms"],
    [999, "999 ms"],
    [1000, "1.00 s"],
    [-0.5, "-500 µs"],
  ];
  for (const [ms, text] of cases) assert.equal(formatMs(ms), text);
});

test("formatPercent(share) and formatCount(count)", () => {
  assert.deepEqual([0, 0.375, 1, -0.021].map(formatPercent), ["0.0 %", "37.5 %", "100.0 %", "-2.1 %"]);
  assert.deepEqual([0, 999.6, 101_000, 1e9].map(formatCount), ["0", "1,000", "101,000", "1,000,000,000"]);
});

test("few(names) shows three names at most", () => {
  assert.deepEqual(
    [[], ["a"], ["a", "b", "c"], ["a", "b", "c", "d"]].map((names) => few(names)),
    ["", "a", "a, b, c", "a, b, c, …"],
  );
});

test("formatBytesBeside(bytes, other) says the bytes where both would read alike", () => {
  assert.equal(formatBytesBeside(372_000, 372_100), "363 KiB (372,000 B)");
  assert.equal(formatBytesBeside(372_000, 372_000), "363 KiB");
  assert.equal(formatBytesBeside(1024, 2048), "1.00 KiB");
});
