import assert from "node:assert/strict";
import { test } from "node:test";
import { type Algorithm, affordable, algorithmsIn, usable } from "../../../src/runtime/gpu/cudnn-convolutions.js";

const algorithm = (number: number, ms: number, bytes: number, more: Partial<Algorithm> = {}): Algorithm => ({
  number,
  status: 0,
  ms,
  bytes,
  deterministic: true,
  math: 0,
  ...more,
});

/** As cuDNN writes them: cudnnConvolutionFwdAlgoPerf_t, 48 bytes each. */
function encoded(algorithms: readonly Algorithm[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(48 * 16));
  algorithms.forEach(({ number, status, ms, bytes, deterministic, math }, i) => {
    view.setInt32(48 * i, number, true);
    view.setInt32(48 * i + 4, status, true);
    view.setFloat32(48 * i + 8, ms, true);
    view.setBigUint64(48 * i + 16, BigInt(bytes), true);
    view.setInt32(48 * i + 24, deterministic ? 1 : 0, true);
    view.setInt32(48 * i + 28, math, true);
  });
  return new Uint8Array(view.buffer);
}

test("algorithmsIn(results, count) reads what cuDNN wrote", () => {
  const all = [algorithm(1, 0.5, 2 ** 33, { math: 3 }), algorithm(0, -1, 0, { status: 3000, deterministic: false })];
  assert.deepEqual(algorithmsIn(encoded(all), 2), all);
  assert.deepEqual(algorithmsIn(encoded(all), 1), all.slice(0, 1));
});

test("usable(algorithms) leaves out what failed, is too large or differs from time to time; fastest first", () => {
  const all = [
    algorithm(0, 3, 0),
    algorithm(1, 1, 100),
    algorithm(2, 0.5, 101),
    algorithm(3, 2, 50, { deterministic: false }),
    algorithm(4, 0.1, 0, { status: 9 }),
  ];
  const numbers = (bytes: number, deterministic: boolean): number[] =>
    usable(all, bytes, deterministic).map(({ number }) => number);
  assert.deepEqual(numbers(100, false), [1, 3, 0]);
  assert.deepEqual(numbers(100, true), [1, 0]);
  assert.deepEqual(numbers(10, true), [0]);
});

test("affordable(found, limit) is the fastest that fits, else the one that takes least", () => {
  const found = [300, 100, 200].map((workspaceBytes) => ({ workspaceBytes }));
  assert.equal(affordable(found, 300).workspaceBytes, 300);
  assert.equal(affordable(found, 250).workspaceBytes, 100);
  assert.equal(affordable(found, 50).workspaceBytes, 100);
});
