import assert from "node:assert/strict";
import { test } from "node:test";
import Table from "cli-table3";
import { gridText, tableText } from "../../src/commands/table.js";

test("tableText(table, columns) leaves out lines and margins where the terminal is narrower than they are", () => {
  const table = new Table({ head: ["", "unplanned"], style: { head: [], border: [] } });
  table.push(["peak, predicted", "3.10 GiB"], ["step, measured", "12.5 ms ± 29.0 µs"]);
  const whole = table.toString();
  for (const columns of [undefined, 200, 39]) assert.equal(tableText(table, columns), whole);
  assert.equal(
    tableText(table, 36),
    "                 unplanned\npeak, predicted  3.10 GiB\nstep, measured   12.5 ms ± 29.0 µs",
  );
});

test("tableText(table, columns) puts cells below each other where even that is too wide, each with its heading", () => {
  const table = new Table({ head: ["", "unplanned", "best"], style: { head: [], border: [] } });
  table.push(["peak, predicted", "3.10 GiB", "1.00 GiB"], ["step", { content: "12.5 ms" }, ""]);
  assert.equal(
    tableText(table, 30),
    "peak, predicted\n  unplanned  3.10 GiB\n  best       1.00 GiB\nstep\n  unplanned  12.5 ms",
  );
});

test("gridText(table): one line a row, numbers to the right; no lines where the terminal is narrower", () => {
  const words = {
    title: "a title",
    head: ["", "base"],
    rows: [
      ["node_1", "3 ms"],
      ["<b>|x|\n`y`", "-"],
    ],
  };
  const lines = gridText(words, 80).split("\n");
  assert.deepEqual([lines[0], lines[2], lines[4]], ["a title", "│            │ base │", "│ <b>|x| `y` │    - │"]);
  assert.equal(lines.length, 7, "and a name with a line break is one line");
  assert.ok(!gridText(words, 10).includes("│"));
});
