import assert from "node:assert/strict";
import { test } from "node:test";
import { picture } from "../../src/notebook/picture.js";
import * as charts from "../../src/report/charts.js";
import { goldenRun } from "../golden-run.js";

test("picture(figure) draws every chart of a run", () => {
  const run = goldenRun("resnet-h100");
  for (const [name, chart] of Object.entries(charts.plots)) {
    const figure = chart(run);
    if (!figure) continue;
    const svg = picture(figure) ?? "";
    assert.ok(svg.startsWith("<svg ") && svg.endsWith("</svg>"), name);
    assert.doesNotMatch(svg, /NaN|undefined|Infinity/, name);
    assert.ok(svg.length < 40_000, `${name}: ${svg.length}`);
  }
});

test("picture(figure) stacks areas, sets bars side by side, and cannot be broken by names", () => {
  const stacked = picture({
    data: [
      { stackgroup: "m", x: [0, 1], y: [1, 1], name: "low" },
      { stackgroup: "m", x: [0, 1], y: [1, 3], name: "high" },
    ],
  });
  // from the top at 4 to the bottom at 0 of 50 and 330: the upper area ends at 4, begins at 2 on the left
  const [, upper] = [...(stacked ?? "").matchAll(/<path d="(M[^"]*Z)"/g)].map(([, path]) => path);
  assert.match(upper ?? "", /^M70 \d+.*L780 50L780 /);
  const bars = picture({
    data: [
      { type: "bar", x: ["a", '"><script>'], y: [1, 2] },
      { type: "bar", x: ["a"], y: [3] },
    ],
  });
  assert.equal(bars?.match(/<rect [^>]*fill="#(0072B2|D55E00)"/g)?.length, 3);
  assert.ok(!bars?.includes("<script>"));
});

test("picture(figure) leaves out what it cannot draw", () => {
  assert.equal(picture({ data: [{ type: "treemap", labels: ["a"] }] }), undefined);
  assert.match(picture({ data: [] }) ?? "", /^<svg/);
});
