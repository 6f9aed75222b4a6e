import assert from "node:assert/strict";
import { test } from "node:test";
import { checkDriver, cudaVersion, driverVersion } from "../../../src/runtime/libraries/cuda-facts.js";
import { at } from "../../at.js";

test("cudaVersion(number) is CUDA's way to write versions", () => {
  assert.deepEqual([13_000, 13_020, 12_080, 11_040].map(cudaVersion), ["13.0", "13.2", "12.8", "11.4"]);
});

test("checkDriver(version, cuda) refuses a driver that is too old for it", () => {
  checkDriver(13_000, 13);
  checkDriver(13_010, 12);
  assert.throws(
    () => checkDriver(12_080, 13),
    /^Error: the driver is too old: it runs CUDA up to 12\.8, CUDA 13 needs driver 580 or newer, or run mutwo cuda install --cuda 12$/,
  );
  assert.throws(() => checkDriver(11_040, 12), /CUDA 12 needs driver 525 or newer$/);
});

test("driverVersion(file) names the file that is no library", () => {
  assert.throws(() => driverVersion(at("at.ts")), /^Error: cannot load .*at\.ts: [^\n]+$/);
});
