import assert from "node:assert/strict";
import { test } from "node:test";
import {
  againName,
  copyName,
  gradientName,
  isRecomputed,
  microName,
  nextName,
  originalName,
  type ParsedName,
  parseName,
  type SwapPart,
  stateName,
  suffixed,
  swapName,
} from "../../src/graph/names.js";

/** Names of a model, some of which look like names that mutwo makes. */
const originals = [
  "w",
  "/layer/MatMul_output_0",
  "a b",
  "",
  "x@recompute",
  "x@swap/out",
  "x@micro2",
  "x.grad",
  "x@again1/y",
  "x\n",
];

const parts: readonly SwapPart[] = ["out", "host", "in", "back"];

const kinds: readonly [string, (name: string) => string, Omit<ParsedName, "original">][] = [
  ["copyName", copyName, { recompute: 1 }],
  ["copyName, second", (name) => copyName(name, 2), { recompute: 2 }],
  ...parts.flatMap((swap): (typeof kinds)[number][] => [
    [`swapName ${swap}`, (name) => swapName(name, swap), { swap, count: 1 }],
    [`swapName ${swap}, second`, (name) => swapName(name, swap, 2), { swap, count: 2 }],
  ]),
  ["microName", (name) => microName(name, 1), { micro: 1 }],
  ["suffixed", (name) => suffixed(name, 12), { micro: 12 }],
  ["againName", (name) => againName(name, 30), { again: 30 }],
  ["gradientName", gradientName, { gradient: true }],
  ["nextName", nextName, { next: true }],
];

for (const [kind, make, mark] of kinds)
  test(`parseName(${kind}(name)) is the name and its mark, whatever the name`, () => {
    for (const original of originals) assert.deepEqual(parseName(make(original)), { original, ...mark });
    // a mark on any mark
    for (const [, inner] of kinds) assert.deepEqual(parseName(make(inner("x"))), { original: inner("x"), ...mark });
  });

test("parseName(name) of what mutwo did not make is the name", () => {
  for (const original of ["w", "a@swap/way", "x@micro", "x@again", "@", "x.gradient", "grad", stateName("w", "m")])
    assert.deepEqual(parseName(original), { original });
  assert.equal(suffixed("x", 1), "x");
});

test("originalName(name) takes one mark of recomputing or swapping away, and no other", () => {
  const names = ["a@swap/out", "a@swap/host", "a@swap/in", "a@swap", "a@swap2", "a@recompute3", "a", "a@swap/way"];
  assert.deepEqual(names.map(originalName), ["a", "a", "a", "a", "a", "a", "a", "a@swap/way"]);
  assert.equal(originalName("a@micro2@recompute"), "a@micro2");
  for (const name of ["a@micro2", "a@again1", "a.grad", "a.next"]) assert.equal(originalName(name), name);
});

test("isRecomputed(node) holds for a copy and for what it was written out as", () => {
  const node = (name: string) =>
    ({ name, domain: "", op: "Relu", inputs: [], outputs: [], attributes: {}, phase: "backward" }) as const;
  for (const name of ["a@recompute", "a@recompute2", "a@recompute/Mul", "/layer/a@recompute3/b/c"])
    assert.ok(isRecomputed(node(name)), name);
  for (const name of ["a", "a@swap/in", "a@recomputed", "a@recompute.grad"]) assert.ok(!isRecomputed(node(name)), name);
});
