import assert from "node:assert/strict";
import { test } from "node:test";
import { cudaAdvice, inShort } from "../../src/commands/doctor-cuda.js";
import type { CudaParts } from "../../src/runtime/libraries/cuda-libraries.js";
import type { CudaPart } from "../../src/runtime/libraries/library-search.js";

// what doctor says of a machine with libraries is tested over stubs, in test/runtime/gpu/gpu.test.ts

const there = (name: string): CudaPart => ({ name, file: `/lib/${name}` });
const missing = (name: string, problem = "not found"): CudaPart => ({ name, problem });

const whole: CudaParts = {
  cudaMajor: 13,
  ort: there("libonnxruntime.so.1"),
  provider: there("libonnxruntime_providers_cuda.so"),
  driver: there("libcuda.so.1"),
  cudart: there("libcudart.so.13"),
  cudnn: there("libcudnn.so.9"),
  nvrtc: missing("libnvrtc.so.13"),
  others: [there("libcublas.so.13")],
  folders: ["/usr/lib", "/opt/cuda/lib64"],
};

test("cudaAdvice(parts) is empty where all but the optional compiler is there", () => {
  assert.deepEqual(cudaAdvice(whole), []);
});

test("cudaAdvice(parts) names what is missing, where it was looked for, and how to get it", () => {
  const parts = {
    ...whole,
    driver: missing("libcuda.so.1"),
    cudnn: missing("libcudnn.so.9", "is of another processor"),
  };
  const lines = cudaAdvice(parts);
  assert.deepEqual(lines.slice(0, 4), [
    "libcuda.so.1: not found",
    "libcudnn.so.9: is of another processor",
    "looked in /usr/lib, /opt/cuda/lib64",
    "install NVIDIA's driver",
  ]);
  assert.match(lines[4] ?? "", /^pip install nvidia-cudnn-cu13\S* or apt install \S+$/);
  assert.equal(lines.length, 5);
});

test("inShort(findings) is one row for the CUDA backend where there is no driver, else all of them", () => {
  const row = (what: string, works: boolean, detail = "x") => ({ what, works, detail });
  const rows = (driver: ReturnType<typeof row>) => [
    row("node", true),
    row("GPU", false),
    driver,
    row("cuDNN", false),
    row("cuda backend", false),
    row("danfo", true),
  ];
  const short = inShort(rows(row("driver", false, "libcuda.so.1 not found")));
  assert.deepEqual(
    short.map(({ what }) => what),
    ["node", "cuda backend", "danfo"],
  );
  assert.match(short[1]?.mend ?? "", /^install NVIDIA's driver/);
  for (const driver of [row("driver", true), row("driver", false, "the driver is too old: …")])
    assert.equal(inShort(rows(driver)).length, 6);
});
