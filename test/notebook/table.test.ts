import assert from "node:assert/strict";
import { test } from "node:test";
import { frameBundle } from "../../src/notebook/table.js";

const html = (frame: Parameters<typeof frameBundle>[0], size?: Parameters<typeof frameBundle>[1]): string =>
  String(frameBundle(frame, size)["text/html"]);

test("frameBundle(frame) keeps long texts behind short ones, and whole numbers in groups", () => {
  const columns = ["a", "b", "c", "d", "e"];
  const shown = html({ columns, values: [["x".repeat(100), 1234567, 0.5, "<i>", Number.NaN]], index: ["first"] });
  assert.match(shown, /<th>first<\/th><td style="text-align:left" title="x{100}">x{19}…x{40}<\/td>/);
  assert.match(shown, />1,234,567<.*>0\.5<.*>&lt;i&gt;<.*>1 row × 5 columns</);
});

test("frameBundle(frame) takes the columns that tell most, in their order", () => {
  const columns = ["other", "node_name", "rank"];
  assert.match(html({ columns, values: [[1, "n", 2]] }, { columns: 2 }), /node_name.*rank.*not shown: other/);
});
