import assert from "node:assert/strict";
import { test } from "node:test";
import { adviceSummary } from "../../src/commands/advice-summary.js";
import type { Outcome } from "../../src/run/advise.js";
import { findingsOf } from "../../src/run/findings.js";
import { resnet } from "../rule-cases.js";

test("adviceSummary(run, advice): findings, then promised beside what came of it, each with its basis", () => {
  const own: Outcome = { peakBytes: 2048, peakBasis: "planned", stepMs: 2, stepBasis: "measured", fits: true };
  const finding = findingsOf(resnet).find(({ flags }) => flags === "without a plan") ?? assert.fail();
  const outcome: Outcome = { ...own, peakBytes: 1024, peakBasis: "measured", stepMs: null, fits: false };
  const trials = [
    { finding, outcome, gainBytes: 1024, gainMs: null, problem: null },
    { finding, outcome: null, gainBytes: null, gainMs: null, problem: "not tried: why" },
  ];
  const text = adviceSummary(resnet, { own, trials, notes: ["a note"] });
  assert.match(text, /^resnet_bottleneck_dynamic\.onnx: \d+ findings\n/);
  assert.match(text, /as it is .*2\.00 KiB \(planned\).*2\.00 ms \(measured\).*yes/);
  assert.match(
    text,
    /without a plan .*18\.6 µs less time \(estimated\).*1\.00 KiB less.*1\.00 KiB \(measured\).*not known.*no/,
  );
  assert.match(text, /not tried: why/);
  assert.match(text, /\nto run it: mutwo profile .*\nnote: a note$/);
  assert.match(adviceSummary(resnet, { own, trials: [], notes: [] }), /nothing to try/);
});
