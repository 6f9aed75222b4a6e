import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node, Phase } from "../../src/graph/graph.js";
import {
  againName,
  chunkName,
  copyName,
  gradientName,
  knownName,
  microName,
  nextName,
  orderName,
  originalName,
  type ParsedName,
  parseName,
  recomputedNodes,
  type SwapPart,
  shiftedName,
  sliceName,
  stateName,
  suffixed,
  swapName,
  swappedName,
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
  ["sliceName", (name) => sliceName(name, 3), { slice: 3 }],
  ["chunkName", (name) => chunkName(name, 4), { chunk: 4 }],
  ["orderName", (name) => orderName(name, "last"), { order: "last" }],
  ["gradientName", gradientName, { gradient: true }],
  ["nextName", nextName, { next: true }],
  ["shiftedName ahead", (name) => shiftedName(name, "ahead"), { shift: "ahead" }],
  ["shiftedName carried", (name) => shiftedName(name, "carried"), { shift: "carried" }],
];

for (const [kind, make, mark] of kinds)
  test(`parseName(${kind}(name)) is the name and its mark, whatever the name`, () => {
    for (const original of originals) assert.deepEqual(parseName(make(original)), { original, ...mark });
    // a mark on any mark
    for (const [, inner] of kinds) assert.deepEqual(parseName(make(inner("x"))), { original: inner("x"), ...mark });
  });

test("parseName(name) of what mutwo did not make is the name", () => {
  for (const original of [
    "w",
    "a@swap/way",
    "x@micro",
    "x@again",
    "x@slice",
    "@",
    "x.gradient",
    "grad",
    stateName("w", "m"),
  ])
    assert.deepEqual(parseName(original), { original });
  assert.equal(suffixed("x", 1), "x");
});

test("swappedName(name) is the tensor that is copied, also where its copy is made again", () => {
  const names = ["a", "a@swap/in", "a@swap/in@recompute", "a@swap/host", "a@recompute"];
  assert.deepEqual(names.map(swappedName), ["a", "a", "a", "a", "a"]);
});

test("originalName(name) takes one mark of recomputing or swapping away, and no other", () => {
  const names = ["a@swap/out", "a@swap/host", "a@swap/in", "a@swap", "a@swap2", "a@recompute3", "a", "a@swap/way"];
  assert.deepEqual(names.map(originalName), ["a", "a", "a", "a", "a", "a", "a", "a@swap/way"]);
  assert.equal(originalName("a@micro2@recompute"), "a@micro2");
  for (const name of ["a@micro2", "a@again1", "a.grad", "a.next"]) assert.equal(originalName(name), name);
});

test("knownName(name, known) is the name where that is known, else the original's", () => {
  const known = new Set(["a", "a@recompute"]);
  const names = ["a", "a@recompute", "a@recompute@recompute", "a@recompute2", "a@swap/in", "b"];
  assert.deepEqual(
    names.map((name) => knownName(name, known)),
    ["a", "a@recompute", "a@recompute", "a", "a", "b"],
  );
});

/** Names of the recomputed nodes of a graph whose nodes have these names, by phase. */
function recomputedOf(forward: readonly string[], backward: readonly string[]): string[] {
  const node = (name: string, phase: Phase): Node => ({
    ...{ name, phase, domain: "", op: "Relu", inputs: [], outputs: [], attributes: {} },
  });
  const nodes = [...forward.map((name) => node(name, "forward")), ...backward.map((name) => node(name, "backward"))];
  return [...recomputedNodes({ nodes })].map(({ name }) => name);
}

test("recomputedNodes(graph) are the copies and what they were written out as", () => {
  const copies = ["a@recompute", "a@recompute2", "a@recompute/Mul", "/layer/a@recompute3/b/c"];
  assert.deepEqual(
    recomputedOf(["a", "/layer/a"], [...copies, "a@swap/in", "a@recomputed", "a@recompute.grad"]),
    copies,
  );
});

test("recomputedNodes(graph) are not nodes of the model whose names end like a copy's, or their gradients", () => {
  const own = ["mod", "/mod/@recompute", "mod@recompute/fc", "q@recompute"];
  const copies = ["mod@recompute/fc@recompute", "q@recompute@recompute/Mul"];
  assert.deepEqual(recomputedOf(own, ["/mod/@recompute.grad/Mul", "mod@recompute/fc.grad/Mul", ...copies]), copies);
});
