import assert from "node:assert/strict";
import { test } from "node:test";
import { plotlySource } from "../../src/report/plotly.js";

test("plotlySource() is the whole library, and does not end the script element that it stands in", () => {
  const source = plotlySource();
  assert.ok(source.length > 1e6);
  assert.doesNotMatch(source, /<\/script/i);
  assert.match(source, /newPlot/);
});
