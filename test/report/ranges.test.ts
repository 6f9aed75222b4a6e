import assert from "node:assert/strict";
import { test } from "node:test";
import type { Figure } from "../../src/report/figure.js";
import { actionOf, liveRanges, sizeIdle } from "../../src/report/ranges.js";
import { goldenRun } from "../golden-run.js";

const run = goldenRun("resnet-h100");

interface Trace {
  readonly name: string;
  readonly x: readonly number[];
  readonly base: readonly number[];
  readonly y: readonly number[];
}

const traces = (figure: Figure | null): readonly Trace[] => (figure?.data ?? []) as readonly Trace[];

test("liveRanges(run) draws each of the largest activations from where it is made to its last use, without gaps", () => {
  const all = traces(liveRanges(run));
  const kinds = all.map(({ name }) => name);
  assert.deepEqual(kinds, ["forward use", "idle: kept", "idle: freed, recomputed", "backward use"]);
  const rows = [...run.before.activations].sort((a, z) => z.memoryBytes - a.memoryBytes).slice(0, 40);
  rows.sort((a, z) => z.createdRank - a.createdRank);
  rows.forEach((row, at) => {
    const pieces = all
      .flatMap(({ base, x, y }) =>
        y.flatMap((own, i) => (own === at ? [[base[i] ?? 0, (base[i] ?? 0) + (x[i] ?? 0)]] : [])),
      )
      .sort(([a = 0], [z = 0]) => a - z);
    assert.equal(pieces[0]?.[0], row.createdRank - 0.5);
    assert.equal(pieces.at(-1)?.[1], row.lastBackwardAccess + 0.5);
    pieces.slice(1).forEach(([start], i) => {
      assert.equal(start, pieces[i]?.[1]);
    });
  });
});

test("sizeIdle(run) has a point for each activation that lies idle, by what the plan does with it", () => {
  const action = actionOf(run);
  const idle = run.before.activations.filter(({ inactiveMs, memoryBytes }) => inactiveMs > 0 && memoryBytes > 0);
  for (const { name, x } of traces(sizeIdle(run)))
    assert.equal(x.length, idle.filter((row) => action(row.name) === name).length, name);
});

test("liveRanges(run) and sizeIdle(run) are null where nothing is saved", () => {
  const none = { ...run, before: { ...run.before, activations: [] } };
  assert.deepEqual([liveRanges(none), sizeIdle(none)], [null, null]);
});
