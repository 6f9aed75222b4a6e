import assert from "node:assert/strict";
import { test } from "node:test";
import { markdownText } from "../../src/report/text-tables.js";

const table = {
  title: "a title",
  head: ["", "base"],
  rows: [
    ["node_1", "3 ms"],
    ["<b>|x|\n`y`", "-"],
  ],
};

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
