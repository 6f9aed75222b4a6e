import assert from "node:assert/strict";
import { test } from "node:test";
import { backendOptions, checkBackend, recordingOf, refusalOf } from "../../src/runtime/backends.js";
import { at } from "../at.js";

test("recordingOf(backend) is what stands behind replay:", () => {
  assert.equal(recordingOf("replay:a:b"), "a:b");
  assert.equal(recordingOf("replay"), undefined);
});

test("checkBackend(backend) refuses what is not there", () => {
  for (const backend of ["cpu", "cuda", `replay:${at("recordings", "resnet50.recording")}`]) checkBackend(backend);
  assert.throws(() => checkBackend("CPU"), {
    message: "unknown backend: CPU (one of cpu, cuda, estimate, replay:FILE)",
  });
  assert.throws(() => checkBackend("replay:none"), { message: "cannot read recording: none (ENOENT)" });
});

test("refusalOf(backend, option, value) is for the other backend; a recording takes all", () => {
  const { threads, device, tf32 } = backendOptions;
  assert.equal(refusalOf("cuda", threads, 2), "threads are for the cpu backend: 2");
  assert.equal(refusalOf("cpu", threads, 2), undefined);
  assert.equal(refusalOf("cpu", device, 0), "a device is for the cuda backend: 0");
  assert.equal(refusalOf("replay:x", device, 0), undefined);
  assert.equal(refusalOf("estimate", tf32, false), undefined);
  assert.equal(refusalOf("estimate", device, 0), "a device is for the cuda backend: 0");
  // what a backend does anyway asks nothing of it
  assert.equal(refusalOf("cpu", tf32, true), undefined);
  assert.equal(refusalOf("cpu", tf32, false), "TF32 is for the cuda backend: no TF32");
});
