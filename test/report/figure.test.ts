import assert from "node:assert/strict";
import { test } from "node:test";
import { categories, type Phase, phases } from "../../src/graph/graph.js";
import { bars, categoryColors, figure, phaseBorders, phaseColors, readText, shorten } from "../../src/report/figure.js";

test("categoryColors and phaseColors tell all categories and all phases apart", () => {
  assert.equal(new Set(categories.map((category) => categoryColors[category])).size, categories.length);
  assert.equal(new Set(phases.map((phase) => phaseColors[phase])).size, phases.length);
});

const nodes = (sequence: readonly Phase[]) => sequence.map((phase) => ({ phase }));

test("phaseBorders(nodes) draws a line before the first node of a phase, and names all but the loss", () => {
  const { shapes, annotations } = phaseBorders(nodes(["forward", "forward", "loss", "backward", "update"]));
  assert.deepEqual(
    shapes.map((shape) => (shape as { x0: number }).x0),
    [-0.5, 1.5, 2.5, 3.5],
  );
  assert.deepEqual(
    annotations.map((annotation) => (annotation as { text: string }).text),
    ["forward", "backward", "update"],
  );
});

test("phaseBorders(nodes) draws only the first border of each phase where there are too many", () => {
  const step = (count: number) => nodes(Array.from({ length: count }, () => ["forward", "backward"] as const).flat());
  assert.equal(phaseBorders(step(12)).shapes.length, 24);
  assert.equal(phaseBorders(step(13)).shapes.length, 2);
});

test("shorten(name) keeps the end of a long name", () => {
  assert.equal(shorten("a".repeat(48)).length, 48);
  assert.equal(shorten(`start${"a".repeat(48)}end`), `…${"a".repeat(44)}end`);
});

test("bars(rows) shows the largest, the largest on top, and says how many there are", () => {
  const rows = Array.from({ length: 50 }, (_, i) => ({ name: `row ${i}`, size: i }));
  const chart = (count: number) =>
    bars(
      "Rows",
      "MiB",
      rows.slice(0, count),
      ({ name }) => name,
      ({ size }) => size,
      () => "#000",
    );
  const { data, layout } = chart(50);
  assert.equal(layout.title.text, "Rows (the largest 40 of 50)");
  const [{ x, text }] = data as [{ x: number[]; text: string[] }];
  // Plotly draws the last at the top
  assert.deepEqual([x[0], x.at(-1), text.at(-1), x.length], [10, 49, "row 49", 40]);
  assert.equal(chart(40).layout.title.text, "Rows");
});

test("figure(title, …) shows names as they are, whatever looks like markup in them", () => {
  const name = '<a href="x">b</a> & <b>';
  const { data, layout } = figure(name, {}, { ticktext: [name] }, [
    { text: [name], name, y: [1], hovertemplate: "%{text}<br>" },
  ]);
  const shown = '&lt;a href="x"&gt;b&lt;/a&gt; &amp; &lt;b&gt;';
  assert.equal(layout.title.text, shown);
  assert.deepEqual((layout.yaxis as { ticktext: string[] }).ticktext, [shown]);
  assert.deepEqual(data, [{ text: [shown], name: shown, y: [1], hovertemplate: "%{text}<br>" }]);
  assert.equal(readText(shown), name);
});
