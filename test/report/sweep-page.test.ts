import assert from "node:assert/strict";
import { readFileSync, statSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { decompressed } from "../../src/report/page-data.js";
import { sweepHtml, writeSweep } from "../../src/report/sweep-page.js";
import type { SweepState } from "../../src/sweep/state.js";
import { planned, resultOf, sweepOf, unplanned, wanted } from "../sweep-of.js";

const sweep = sweepOf("page", [
  [wanted(4), unplanned(4, 4)],
  [wanted(4, "60%"), planned(1, 8)],
  [wanted(8, "60%"), planned(1, 8, false)],
  [wanted(16, "60%"), { error: "out of <memory>", figures: {} }],
  [wanted(32), null],
]);

test("sweepHtml(sweep): charts, the best with their commands, what failed and what does not fit in words", () => {
  const html = sweepHtml(sweep);
  const data = /<script type="text\/plain" id="data">([^<]*)</.exec(html)?.[1] ?? "";
  const { value } = JSON.parse(decompressed(data));
  assert.deepEqual(Object.keys(value.figures), ["sweepFront", "sweepPeak", "sweepTime"]);
  assert.equal(value.tables.points.count, 5);
  assert.match(html, /Sweep of resnet_bottleneck_dynamic\.onnx/);
  assert.match(html, /5 points: 2 done, 1 do not fit, 1 failed, 1 left\. Each is a training step/);
  assert.match(html, /1 point failed: out of &lt;memory&gt; \(point 3, batch 16, budget 60%/);
  assert.match(html, /Of 1 the plan does not fit/);
  assert.match(html, /The sweep is not done/);
  assert.match(html, /<code>mutwo profile [^<]*--dim batch&#x3D;4 [^<]*--budget 60%/);
  assert.match(html, /Peak with the plan, where there is one: 1\.00 MiB to 4\.00 MiB; a step: 4\.00 ms to 8\.00 ms\./);
});

test("writeSweep(sweep) writes page and table into the sweep's folder; of 10,000 points the page has less than 5 MB", () => {
  const { csv, report } = writeSweep(sweep);
  assert.deepEqual([path.dirname(csv), path.basename(report)], [sweep.manifest.folder, "sweep.html"]);
  assert.equal(readFileSync(csv, "utf8").trim().split("\n").length, 6);
  const points = Array.from({ length: 10_000 }, (_, index) => {
    const id = (index * 2654435761).toString(16).padStart(16, "0");
    const { model, options } = wanted(1 + (index % 100), `${1 + Math.floor(index / 100)}%`);
    return { id, index, model, options, profile: id };
  });
  const noise = (index: number): number => 1 + ((index * 7919) % 9973) / 9973;
  const many: SweepState = {
    manifest: { ...sweep.manifest, points },
    points: points.map((point) => ({
      point,
      result: resultOf(point, {
        ...planned(64 * noise(point.index), 5 * noise(point.index + 3)),
        tookMs: noise(point.index),
      }),
      faults: [],
    })),
  };
  assert.ok(statSync(writeSweep(many).report).size < 5e6);
});
