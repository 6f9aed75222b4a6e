import assert from "node:assert/strict";
import { test } from "node:test";
import type { BranchView } from "../../src/report/module-view.js";
import { groupsOf, moduleTreeView, timeByModule, timeByModuleCaption } from "../../src/report/module-view.js";
import { branches, moduleTree } from "../../src/run/module-tree.js";
import { goldenRun } from "../golden-run.js";

const run = goldenRun("resnet-h100");

test("groupsOf(paths, most): the deepest level with so many groups; what is in no module stays", () => {
  const paths = ["a.b.c", "a.b.d", "a.e", "(loss)"];
  const grouped = (most: number): string[] => [...new Set(paths.map(groupsOf(paths, most)))];
  assert.deepEqual(grouped(1), ["a", "(loss)"]);
  assert.deepEqual(grouped(3), ["a.b", "a.e", "(loss)"]);
  assert.deepEqual(grouped(4), paths);
  assert.deepEqual([...[].map(groupsOf([]))], []);
});

test("moduleTreeView(run) is the tree, a part of it open", () => {
  const view = moduleTreeView(run);
  assert.ok(view);
  const count = ({ children }: BranchView): number => (children ?? []).reduce((sum, child) => sum + count(child), 1);
  assert.equal(count(view.root) - 1, view.count);
  assert.equal(view.count, branches(moduleTree(run, "unplanned").root).length - 1);
  assert.equal(view.root.timeShare, "100.0 %");
  const visible = (one: BranchView): number =>
    one.open ? (one.children ?? []).reduce((sum, child) => sum + visible(child), 1) : 1;
  assert.ok(visible(view.root) > 3 && visible(view.root) <= 31, `${visible(view.root)}`);
});

test("timeByModule(run): bars add up to the time of the modules that are shown, the longest on top", () => {
  const chart = timeByModule(run);
  const data = chart?.data as { x: number[]; y: string[] }[];
  const sums = data[0]!.y.map((_, i) => data.reduce((sum, { x }) => sum + (x[i] as number), 0));
  assert.deepEqual(
    sums,
    [...sums].sort((a, z) => a - z),
  );
  assert.ok(sums.length > 3 && sums.length <= 20);
  assert.match(timeByModuleCaption(run), /^Most time of their own: \S+ .* %\), /);
});
