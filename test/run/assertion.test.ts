import assert from "node:assert/strict";
import { test } from "node:test";
import { judgeAssertion, parseAssertion } from "../../src/run/assertion.js";
import { goldenRun } from "../golden-run.js";

const base = goldenRun("resnet-h100");

const bytes = base.before.arenaBytes;

const larger = { ...base, id: "larger", before: { ...base.before, arenaBytes: 2 * bytes } };

const holds = (text: string, run = base): boolean => judgeAssertion(parseAssertion(text), run, base).holds;

test("parseAssertion(text) reads a value in the figure's unit, or a share of the base", () => {
  const rightOf = (text: string) => parseAssertion(text).right;
  assert.deepEqual(rightOf("peakBytes < 4GiB"), { value: 4 * 2 ** 30 });
  assert.deepEqual(rightOf(" peakBytes<=1000 "), { value: 1000 });
  assert.deepEqual(rightOf("stepMs > 1.5s"), { value: 1500 });
  assert.deepEqual(rightOf("stepMs > 250 us"), { value: 0.25 });
  assert.deepEqual(rightOf("nodes == 400"), { value: 400 });
  assert.deepEqual(rightOf("stepMs < 1.05 * base"), { factor: 1.05 });
  assert.deepEqual(rightOf("stepMs >= base"), { factor: 1 });
});

test("parseAssertion(text) says what is wrong, and how to write it", () => {
  for (const [text, message] of [
    ["", /^assertion cannot be read: {2}\(use 'peakBytes < 4GiB'/],
    ["peakBytes", /^assertion cannot be read/],
    ["peakBytes = 3", /^assertion cannot be read/],
    ["peakByte < 3", /^assertion of an unknown figure: peakByte \(nearest: peakBytes, /],
    ["peakBytes < 4ms", /^assertion without a value: peakBytes < 4ms \(use 4GiB/],
    ["peakBytes < 60%", /^assertion without a value/],
    ["stepMs < 4GiB", /\(use 12\.5ms, base or 1\.05 \* base\)$/],
    ["nodes < 4GiB", /^assertion without a value/],
    ["stepMs < -1 * base", /^assertion without a value/],
  ] as const)
    assert.throws(() => parseAssertion(text), { message });
});

test("judgeAssertion(…) compares with a value or the base, and says what it found", () => {
  assert.ok(holds(`peakBytes == ${bytes}`) && holds(`peakBytes <= ${bytes}`) && holds(`peakBytes >= ${bytes}`));
  assert.ok(!holds(`peakBytes < ${bytes}`) && !holds(`peakBytes > ${bytes}`));
  assert.ok(holds("peakBytes == 2 * base", larger) && !holds("peakBytes < 1.99 * base", larger));
  const { line } = judgeAssertion(parseAssertion("peakBytes < 1.5 * base"), larger, base);
  assert.match(line, /^peakBytes < 1\.5 \* base: larger has .*B, 2\.000 times the base$/);
});

test("judgeAssertion(…) fails where a run does not have the figure", () => {
  const unplanned = { ...base, id: "unplanned", plan: null };
  assert.deepEqual(judgeAssertion(parseAssertion("addedMs < 3"), unplanned, base), {
    holds: false,
    line: "addedMs < 3: unplanned has no addedMs",
  });
  assert.equal(judgeAssertion(parseAssertion("addedMs < base"), base, unplanned).holds, false);
});
