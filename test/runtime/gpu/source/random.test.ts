import assert from "node:assert/strict";
import { test } from "node:test";
import { dropoutSource, nextStepSource, randomSource } from "../../../../src/runtime/gpu/source/random.js";

const kinds = [
  ["uniform", { kind: "uniform", low: -1, high: 3 }, /-1e\+0 \+ \(float\)u\[e\] \* \(float\)4e\+0/],
  ["normal", { kind: "normal", mean: 2, scale: 0.5 }, /2e\+0 \+ \(float\)5e-1 \* .*sqrtf\(-2\.0f \* logf\(1\.0f - /],
] as const;

for (const [name, spread, formula] of kinds)
  test(`randomSource(${name}) shifts and scales what is drawn`, () =>
    assert.match(randomSource("float32", 10, spread, 7).source, formula));

test("randomSource(count) draws four numbers a thread, and none beyond the count", () => {
  const { source, blocks, threads } = randomSource("float32", 4 * 256 + 1, kinds[0][1], 7);
  assert.deepEqual([blocks, threads], [2, 256]);
  assert.match(source, /if \(q >= 257ull\) return;/);
  assert.match(source, /if \(i >= 1025ull\) break;/);
});

test("a seed is part of the text, an unsigned number; the step's number is not: it is read", () => {
  const of = (seed: number) => randomSource("float32", 4, kinds[0][1], seed);
  assert.notEqual(of(1).name, of(2).name);
  assert.match(of(-1).source, /k0 = 4294967295u/);
  assert.match(of(1).source, /c2 = \(unsigned\)\*step/);
  assert.match(nextStepSource.source, /\*step = \*step \+ 1;/);
});

test("dropoutSource(ratio, mask) scales what is kept by 1/(1 − ratio); writes the mask only if it is wanted", () => {
  const plain = dropoutSource("float16", 8, 0.2, 7, false).source;
  assert.match(plain, /kept = u\[e\] >= 2\.0000000298023224e-1f;/);
  assert.match(plain, /mutwo_in<float>\(x\[i\]\) \* \(float\)1\.25e\+0/);
  assert.doesNotMatch(plain, /mask/);
  assert.match(dropoutSource("float16", 8, 0.2, 7, true).source, /unsigned char\* mask\) [\s\S]*mask\[i\] = kept;/);
});
