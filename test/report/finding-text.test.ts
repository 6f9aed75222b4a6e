import assert from "node:assert/strict";
import { test } from "node:test";
import { findingLines, findingsJson, gainText, promiseText } from "../../src/report/finding-text.js";
import type { Finding } from "../../src/run/finding.js";
import { findingsOf } from "../../src/run/findings.js";
import { mlp, resnet } from "../rule-cases.js";

test("gainText and promiseText say what is won and where the number comes from", () => {
  assert.equal(gainText({ gainBytes: 2048, gainMs: -1.5 }), "2.00 KiB less, 1.50 ms more time");
  assert.equal(gainText({ gainBytes: -2048, gainMs: null }), "2.00 KiB more");
  assert.equal(gainText({}), "");
  const finding = findingsOf(mlp).find(({ gainBytes }) => gainBytes !== undefined) as Finding;
  assert.match(promiseText(finding), /less \(estimated\)$/);
  assert.equal(promiseText({ ...finding, gainBytes: undefined, gainMs: undefined }), "");
});

test("findingLines(run): three findings at most, each with what to do; findingsJson(run) holds all", () => {
  const lines = findingLines(mlp);
  assert.equal(lines.length, 6);
  assert.match(lines[0] ?? "", /^problem: The plan lowers no peak: 11 decisions/);
  assert.match(lines[1] ?? "", /^ {2}Drop the plan: .* \[without a plan\] 1\.00 ms less time \(estimated\)$/);
  assert.deepEqual(JSON.parse(findingsJson(resnet)), JSON.parse(JSON.stringify(findingsOf(resnet))));
});
