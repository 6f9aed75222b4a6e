import assert from "node:assert/strict";
import { test } from "node:test";
import { gridText, markdownText } from "../../src/report/text-tables.js";

const table = {
  title: "a title",
  head: ["", "base"],
  rows: [
    ["node_1", "3 ms"],
    ["<b>|x|\n`y`", "-"],
  ],
};

test("gridText(table): one line a row, numbers to the right", () => {
  const lines = gridText(table).split("\n");
  assert.deepEqual([lines[0], lines[2], lines[4]], ["a title", "│            │ base │", "│ <b>|x| `y` │    - │"]);
  assert.equal(lines.length, 7, "and a name with a line break is one line");
});

test("markdownText(table): every cell stays a cell, whatever its words", () => {
  const lines = markdownText(table).split("\n");
  assert.deepEqual(lines.slice(0, 6), [
    "**a title**",
    "",
    "|  | base |",
    "| --- | ---: |",
    "| node\\_1 | 3 ms |",
    "| &lt;b>\\|x\\| \\`y\\` | - |",
  ]);
});
