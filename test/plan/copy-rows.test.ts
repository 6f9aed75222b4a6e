import assert from "node:assert/strict";
import { test } from "node:test";
import { activationRows } from "../../src/memory/activation-rows.js";
import { compile } from "../../src/plan/compiled.js";
import { CopyRows } from "../../src/plan/copy-rows.js";
import { Lifetimes } from "../../src/plan/lifetimes.js";
import { Rows } from "../../src/plan/rows.js";
import { chain } from "../swaps.js";

test("CopyRows.add: the copy of what is away at a node fits into the nodes before it, and with blocks and waits after it", () => {
  const nodeMs = chain.nodes.map((_, rank) => 2 ** rank);
  const graph = compile(chain, nodeMs);
  const table = activationRows(chain, nodeMs, { swapMs: () => 50, swapMeasured: false });
  const uses = graph.activations.map((name) => table.find((row) => row.name === name) ?? assert.fail(name));
  const can = uses.map(() => true);
  const program = new Rows();
  const lifetimes = new Lifetimes(graph, chain, can, can);
  const problem = { graph: chain, nodeMs, rows: table, budgetBytes: null, constraints: { hostBytes: 3 * 2 ** 20 } };
  const copies = new CopyRows(program, { problem, graph, lifetimes, uses, again: [], costOf: (ms) => ms });
  const [blocks, more] = [0, 1];
  assert.equal(program.columns.length, 2);
  const away = program.column({ cost: 0, upper: 1 });
  const { firstBackwardAccess } = uses[0] ?? assert.fail("no activation");
  const left = lifetimes.values.find(({ activation }) => activation === 0) ?? assert.fail("no value");
  const rank = firstBackwardAccess - 1;
  const from = Math.max(left.created, left.sure) + 1;
  const rowsBefore = program.rows.length;
  copies.add(rank, new Map([[0, away]]));
  const msOf = (begin: number, end: number): number => nodeMs.slice(begin, end).reduce((sum, ms) => sum + ms, 0);
  const isForward = graph.nodes[rank]?.forward;
  const [out, back, host] = program.rows.slice(rowsBefore);
  assert.deepEqual(out, {
    terms: [[away, -50], [more, 1], ...(isForward ? [] : [[blocks, 1]])],
    least: -msOf(from, rank),
  });
  assert.deepEqual(back, {
    terms: [
      [away, -50],
      [more, 1],
      [blocks, 1],
    ],
    least: -msOf(rank + 1, firstBackwardAccess),
  });
  assert.equal(host?.least, -3);
});
