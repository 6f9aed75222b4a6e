import assert from "node:assert/strict";
import { test } from "node:test";
import { activationRows } from "../../../src/memory/activation-rows.js";
import { timeline } from "../../../src/memory/liveness.js";
import { compile } from "../../../src/plan/compiled.js";
import { memoryOf, readersOf, stagesOf } from "../../../src/plan/planners/stages.js";
import { small } from "../../swaps.js";

const nodeMs = small.nodes.map(() => 1);
const rows = activationRows(small, nodeMs, { swapMs: () => 1, swapMeasured: false });
const problem = { graph: small, nodeMs, rows, budgetBytes: null };
const graph = compile(small, nodeMs);
const nameOf = (rank: number): string => small.nodes[rank]?.name ?? "";

test("stagesOf(), readersOf(): nodes that may run again, seen through views, and who reads what they make", () => {
  const stages = stagesOf(problem, graph);
  const sources = stages.map(({ rank, sources }) => [nameOf(rank), sources.map((i) => nameOf(stages[i]?.rank ?? -1))]);
  assert.deepEqual(Object.fromEntries(sources), { h: [], a: ["h"], b: ["a"], c: ["b"], d: ["c"], loss: ["d"] });
  const readers = readersOf(graph, stages).map((ranks, i) => [nameOf(stages[i]?.rank ?? -1), ranks.map(nameOf)]);
  assert.deepEqual(Object.fromEntries(readers), { h: [], a: ["da"], b: ["dv"], c: [], d: [], loss: ["dv"] });
});

test("memoryOf(): what is live beside activations", () => {
  const { totalBytes, residentBytes } = timeline(small);
  const backward = small.nodes.flatMap(({ name }, rank) => (name === "dv" || name === "da" ? [rank] : []));
  const { before, at } = memoryOf(problem, graph, backward, Float64Array.from(totalBytes));
  // before da there is db beside a
  assert.deepEqual(before, [residentBytes, residentBytes + 128]);
  assert.equal(at.length, 2);
});
