import assert from "node:assert/strict";
import { test } from "node:test";
import { comparison, figureOf, type Line } from "./bench/history.js";

const line = (commit: string, figures: Line["figures"], more: Partial<Line> = {}): Line => ({
  commit,
  date: "2026-01-02T03:04:05.000Z",
  cpu: "a CPU",
  cores: 8,
  node: "v20.19.0",
  load: 0.5,
  figures,
  ...more,
});

test("figureOf(values) is their median and half the distance between the quartiles", () => {
  assert.deepEqual(figureOf([4, 1, 2, 3, 100]), { median: 3, spread: 1, of: 5 });
});

test("comparison(then, now) tells differences from noise, and what only one of them has", () => {
  const then = line("aaaaaaa", {
    "read, ms": { median: 100, spread: 5, of: 5 },
    "lower, ms": { median: 100, spread: 5, of: 5 },
    "old, ms": { median: 7, spread: 0, of: 1 },
  });
  const now = line("bbbbbbb+", {
    "read, ms": { median: 118, spread: 5, of: 5 },
    "lower, ms": { median: 50.04, spread: 1, of: 5 },
    "new, ms": { median: 8, spread: 0, of: 1 },
  });
  assert.equal(
    comparison(then, now),
    `aaaaaaa of 2026-01-02 beside bbbbbbb+
           aaaaaaa  bbbbbbb+  ratio
read, ms   100 ± 5   118 ± 5   1.18  within the spread
lower, ms  100 ± 5    50 ± 1   0.50  less
old, ms      7 ± 0         –      –
new, ms          –     8 ± 0      –`,
  );
});

test("comparison(then, now) says where the machine differs or was busy", () => {
  const text = comparison(line("a", {}), line("b", {}, { cpu: "another CPU", load: 11.04 }));
  assert.match(text, /^not the same machine: cpu was a CPU, is another CPU$/m);
  assert.match(text, /^the machine was busy now: load 11 of 8 cores$/m);
});
