import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { writeSafetensors } from "../../../src/model/safetensors.js";
import type { Run } from "../../../src/run/run.js";
import { holdsProvider, installedFolder } from "../../../src/runtime/libraries/ort-library.js";
import { readCheckpoint } from "../../../src/train/checkpoint.js";
import { at } from "../../at.js";
import { program, tsx } from "../../program.js";
import { stubCuda } from "../../stub-cuda.js";

const stub = stubCuda();

const skip = "reason" in stub && stub.reason;

const root = mkdtempSync(path.join(tmpdir(), "mutwo-stub-"));

let runs = 0;

/** Runs mutwo over the stub libraries; `calls` are the names of all functions that it called, in order. */
const mutwo = (args: readonly string[], env: NodeJS.ProcessEnv = {}) => run(program, args, env);

function run(command: readonly string[], args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  if ("reason" in stub) throw new Error(stub.reason);
  const log = path.join(root, `${++runs}.log`);
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, [...command, ...args], {
    encoding: "utf8",
    env: { ...stub.env, STUB_CUDA_LOG: log, XDG_CACHE_HOME: path.join(root, `${runs}.cache`), ...env },
  });
  const calls = readFileSync(log, "utf8").trim().split("\n");
  return { status, signal, stdout, stderr, calls };
}

type Rows = ReadonlyMap<string, { works: boolean; detail: string }>;

const doctor = (env: NodeJS.ProcessEnv = {}): Rows => {
  const { stdout } = mutwo(["doctor", "--json"], { CHROMIUM_PATH: "/nowhere/chromium", ...env });
  return new Map(
    (JSON.parse(stdout) as { what: string; works: boolean; detail: string }[]).map((row) => [row.what, row]),
  );
};

const profile = (env: NodeJS.ProcessEnv = {}) =>
  mutwo(
    `profile ${at("fixtures/resnet_bottleneck_dynamic.onnx")} --loss ce --optimizer sgd --dim batch=2 --backend cuda --iterations 1 --warmups 0 --no-pictures --json --out`
      .split(" ")
      .concat(path.join(root, "reports")),
    env,
  );

const held = /^held deviceBytes=0 hostBytes=0 streams=0 events=0 graphs=0 executables=0$/;

test("mutwo doctor describes GPU, driver and libraries; a kernel that does nothing is noticed", { skip }, () => {
  const rows = doctor();
  assert.equal(rows.get("GPU")?.detail, "0: Stub GPU, 80.0 GiB, compute capability 9.0");
  assert.match(rows.get("driver")?.detail ?? "", /, runs CUDA up to 1[23]\.0$/);
  assert.match(rows.get("CUDA runtime")?.detail ?? "", /^1[23]\.0, .*libcudart\.so\.1[23]$/);
  assert.match(rows.get("cuDNN")?.detail ?? "", /^9\.14\.0, .*libcudnn\.so\.9$/);
  assert.match(rows.get("NVRTC (fused kernels)")?.detail ?? "", /^1[23]\.99, /);
  assert.match(rows.get("CUDA provider")?.detail ?? "", /^ONNX Runtime 1\.29\.0 for CUDA 1[23], /);
  const broken = ["cuda backend", "browser (PDF, PNG)"];
  assert.deepEqual(
    [...rows].filter(([, { works }]) => !works).map(([name]) => name),
    broken,
  );
  assert.equal(rows.get("cuda backend")?.detail, "a kernel gave a wrong result: 0, 0, not 13, 16");
});

const machines: readonly (readonly [what: string, env: NodeJS.ProcessEnv, row: string, detail: RegExp])[] = [
  [
    "no GPU",
    { STUB_CUDA_FAIL: "cuInit:1=100" },
    "GPU",
    /^no GPU: no CUDA-capable device is detected \[100\] \(cuInit\)$/,
  ],
  ["hidden GPUs", { STUB_CUDA_DEVICES: "0" }, "GPU", /^no GPU: the driver shows none \(CUDA_VISIBLE_DEVICES\)$/],
  [
    "an old driver",
    { STUB_CUDA_DRIVER: "11080" },
    "driver",
    /^the driver is too old: it runs CUDA up to 11\.8, CUDA 1[23] needs driver \d+ or newer$/,
  ],
  [
    "no device for the runtime",
    { STUB_CUDA_FAIL: "cudaGetDeviceCount:1=100" },
    "cuda backend",
    /^no CUDA device: no CUDA-capable device is detected \[cudaErrorNoDevice\]$/,
  ],
  [
    "a driver that the runtime finds too old",
    { STUB_CUDA_FAIL: "cudaGetDeviceCount:1=35" },
    "cuda backend",
    /^no CUDA device: CUDA driver version is insufficient .*\[cudaErrorInsufficientDriver\]$/,
  ],
];

for (const [what, env, row, detail] of machines)
  test(`mutwo doctor on a machine with ${what} says so`, { skip }, () => {
    const found = doctor(env).get(row);
    assert.equal(found?.works, false);
    assert.match(found?.detail ?? "", detail);
  });

test("mutwo profile --backend cuda calls the real provider, replays captured graphs and gives everything back", {
  skip,
}, () => {
  const { status, stdout, stderr, calls } = profile();
  assert.equal(status, 0, stderr);
  const summary = JSON.parse(stdout);
  assert.equal(summary.measuredPeakBytes, summary.peakBytes);
  for (const call of [
    "cublasSgemm_v2",
    "cudnnBackendExecute",
    "cudaStreamBeginCapture",
    "cudaGraphLaunch",
    "cuLaunchKernel",
  ])
    assert.ok(calls.includes(call), call);
  assert.match(calls.at(-1) ?? "", held);
});

/** How often a function was called. */
const times = (calls: readonly string[], name: string): number => calls.filter((call) => call === name).length;

test("convolutions run as plans of cuDNN's graph interface, whose descriptors are all destroyed", { skip }, () => {
  const { calls } = profile();
  const [made, destroyed] = ["Create", "Destroy"].map((what) => times(calls, `cudnnBackend${what}Descriptor`));
  assert.ok(made);
  assert.equal(made, destroyed);
  assert.ok(!calls.some((call) => call.startsWith("cudnnFindConvolution")));
});

test("where cuDNN's graph interface has no plan, convolutions run by its legacy interface", { skip }, () => {
  const { status, stderr, calls } = profile({ STUB_CUDA_FAIL: "cudnnBackendFinalize:0=3000" });
  assert.equal(status, 0, stderr);
  const [made, destroyed] = ["Create", "Destroy"].map((what) => times(calls, `cudnnBackend${what}Descriptor`));
  assert.equal(made, destroyed);
  for (const kind of ["Forward", "BackwardData", "BackwardFilter"]) {
    assert.ok(calls.includes(`cudnnFindConvolution${kind}AlgorithmEx`), kind);
    assert.ok(calls.includes(`cudnnConvolution${kind}`), kind);
  }
  assert.match(calls.at(-1) ?? "", held);
});

test("a plan that fails in the step itself ends it with one line", { skip }, () => {
  const last = times(profile().calls, "cudnnBackendExecute");
  const { status, stderr, calls } = profile({ STUB_CUDA_FAIL: `cudnnBackendExecute:${last}=8` });
  assert.equal(status, 2);
  assert.match(stderr, /^mutwo: .*cuDNN: CUDNN_STATUS_STUB \(cudnnBackendExecute\).*$/m);
  const [made, destroyed] = ["Create", "Destroy"].map((what) => times(calls, `cudnnBackend${what}Descriptor`));
  assert.equal(made, destroyed);
  assert.match(calls.at(-1) ?? "", held);
});

test("NVRTC of a version that cannot optimise in several threads compiles in one", { skip }, () => {
  const { status, stderr, calls } = profile({ STUB_CUDA_FAIL: "nvrtcCompileProgram:1=5" });
  assert.equal(status, 0, stderr);
  assert.ok(calls.includes("cuLaunchKernel"));
});

test("mutwo profile --backend cuda --planner compares under deterministic kernels, then times the others, and gives everything back", {
  skip,
}, () => {
  const model = at("fixtures/resnet_bottleneck_dynamic.onnx");
  const { status, stderr, calls } = mutwo(
    `profile ${model} --loss ce --optimizer sgd --dim batch=2 --backend cuda --planner recomputeAll --iterations 1 --warmups 0 --no-pictures --json --out`
      .split(" ")
      .concat(path.join(root, "planned")),
  );
  assert.equal(status, 0, stderr);
  // the kernels that give the same bits each time have a session of their own
  const [first, second, third] = calls.flatMap((call, i) => (call === "cublasCreate_v2" ? [i] : []));
  assert.ok(first !== undefined && second !== undefined && third === undefined);
  const launches = (from: number, to?: number): number =>
    calls.slice(from, to).filter((call) => call === "cudaGraphLaunch").length;
  assert.ok(launches(0, second) > 0, "steps are timed before");
  // what is compared is launched by the host: whole steps between two launches of graphs
  const between = (from: number, to: number): number => times(calls.slice(from, to), "cudnnBackendExecute");
  const graphs = calls.flatMap((call, i) => (call === "cudaGraphLaunch" && i > second ? [i] : []));
  const longest = Math.max(...graphs.slice(1).map((at, i) => between(graphs[i] as number, at)));
  const inStep = between(calls.lastIndexOf("cudaStreamBeginCapture"), calls.lastIndexOf("cudaStreamEndCapture"));
  assert.ok(inStep > 0 && longest >= 2 * inStep, `${longest} of ${inStep} in a step`);
  assert.ok(launches(graphs.at(-1) as number) > 0, "both steps are timed in turn after");
  assert.match(calls.at(-1) ?? "", held);
});

test("a budget below what models in turn hold has their states copied in and out within the captured step", {
  skip,
}, () => {
  const out = path.join(root, "states");
  const { status, stderr, calls } = mutwo(
    `profile ${at("fixtures/mlp.ts.onnx")} --loss ce --optimizer adam --copies 4 --arrange side-by-side --budget 3MB --moves 300 --backend cuda --iterations 1 --warmups 0 --no-pictures --json --out`
      .split(" ")
      .concat(out),
  );
  assert.equal(status, 0, stderr);
  const [folder = ""] = readdirSync(out);
  const { plan } = JSON.parse(readFileSync(path.join(out, folder, "run.json"), "utf8")) as Run;
  assert.ok(plan?.feasible && plan.states?.length, stderr);
  const captured = calls.flatMap((call, i) => (call === "cudaStreamBeginCapture" ? [i] : []));
  const ends = calls.flatMap((call, i) => (call === "cudaStreamEndCapture" ? [i] : []));
  const copies = captured.map((from, i) => times(calls.slice(from, ends[i]), "cudaMemcpyAsync"));
  // every state that is renewed goes both ways
  assert.ok(
    copies.some((count) => count >= 2 * (plan.states?.length ?? 0)),
    String(copies),
  );
  assert.match(calls.at(-1) ?? "", held);
});

/** 25 MB hold the step below with everything swapped out, and not as it is. */
const small = { STUB_CUDA_BYTES: "25000000" };

const profileLarge = (...more: string[]) =>
  mutwo(
    `profile ${at("fixtures/resnet_bottleneck_dynamic.onnx")} --loss ce --optimizer sgd --dim batch=256 --backend cuda --iterations 1 --warmups 0 --no-pictures --out`
      .split(" ")
      .concat(path.join(root, "large"), more),
    small,
  );

test("mutwo profile of a step larger than the device says by how much, and what would make it fit", { skip }, () => {
  const { status, stdout, stderr, calls } = profileLarge();
  assert.equal(status, 0, stderr);
  assert.match(stderr, /^profile/m);
  assert.match(
    stdout,
    /^the step does not fit: its values need 33\.4 MiB, Stub GPU has 23\.8 MiB of its 23\.8 MiB for them$/m,
  );
  for (const flags of ["--budget \\d+B", "--dim batch=\\d+", "--dim batch=128 --accumulate 2", "--precision mixed"])
    assert.match(stdout, new RegExp(`^    mutwo profile .*${flags}`, "m"), flags);
  assert.match(calls.at(-1) ?? "", held);
});

test("mutwo profile --budget of a step larger than the device plans, executes and compares it", { skip }, () => {
  const { status, stdout, stderr, calls } = profileLarge("--budget", "22MiB", "--json");
  assert.equal(status, 0, stderr);
  const summary = JSON.parse(stdout);
  assert.ok(summary.peakBytes > 25e6 && summary.plan.peakBytes <= 22 * 2 ** 20);
  assert.match(calls.at(-1) ?? "", held);
});

test("mutwo profile of a step that does not fit with everything swapped out either: one line, exit status 2", {
  skip,
}, () => {
  const { status, stderr, calls } = mutwo(
    `profile ${at("fixtures/resnet_bottleneck_dynamic.onnx")} --loss ce --optimizer sgd --dim batch=512 --backend cuda --no-pictures`.split(
      " ",
    ),
    small,
  );
  assert.equal(status, 2);
  assert.match(
    stderr,
    /^mutwo: out of memory: the step needs [\d.]+ MiB, and [\d.]+ MiB with every activation and state swapped out; /m,
  );
  assert.match(calls.at(-1) ?? "", held);
});

test("mutwo profile --backend cuda without NVRTC fuses nothing and runs", { skip }, () => {
  const { status, stderr, calls } = profile({ NVRTC_LIBRARY: "/nowhere/libnvrtc.so" });
  assert.equal(status, 0, stderr);
  assert.ok(!calls.includes("cuLaunchKernel"));
  assert.match(calls.at(-1) ?? "", held);
});

const captures = (graph: string, env: NodeJS.ProcessEnv = {}): number => {
  const { status, stderr, calls } = run([...tsx, at("stub-captures.ts")], [graph], env);
  assert.equal(status, 0, stderr);
  assert.match(calls.at(-1) ?? "", held);
  return calls.filter((call) => call === "cudaStreamBeginCapture").length;
};

test("a step is captured once; again each time where another step may have written over what its kernels read", {
  skip,
}, () => {
  // two steps, three replays of each in turn
  assert.equal(captures("graph(float32[3,4] x) => (y) { y = Softmax(x) }"), 2);
  assert.equal(captures("graph(float32[3,4] x) => (y) { y = GatherND(x, int64[2,1]{0,2}) }"), 6);
  assert.equal(captures("graph(float32[2,1,3,4] x, float32[1,5,4,2] w) => (y) { y = MatMul(x, w) }"), 6);
  assert.equal(captures("graph(float32[2,5,3,4] x, float32[4,2] w) => (y) { y = MatMul(x, w) }"), 2);
});

test("a step with random numbers is captured where mutwo's own kernels draw them, else launched by the host", {
  skip,
}, () => {
  const noise = "graph(float32[3,4] x) => (y) { y = RandomNormalLike<seed=1>(x) }";
  assert.equal(captures(noise), 2);
  assert.equal(captures(noise, { NVRTC_LIBRARY: "/nowhere/libnvrtc.so" }), 0);
});

test("a trainer replays its captured step; the next batch is copied by a stream of its own while it runs", {
  skip,
}, () => {
  const { status, stdout, stderr, calls } = run([...tsx, at("stub-trainer.ts")], []);
  assert.equal(status, 0, stderr);
  const { seen, rate, ...rest } = JSON.parse(stdout) as { seen: number[]; rate: number };
  assert.deepEqual(seen, [1, 2, 3, 4, 5, 6]);
  assert.equal(rate, 0.25);
  assert.deepEqual(rest, { steps: 6, outputs: ["y"], held: true, weight: true });
  // two steps launched by the host, then the graph each time
  assert.equal(calls.filter((call) => call === "cudaStreamBeginCapture").length, 1);
  const launches = calls.flatMap((call, i) => (call === "cudaGraphLaunch" ? [i] : []));
  assert.equal(launches.length, 4);
  // behind a launch its end is recorded; the next batch is on its way before anybody asks whether the step is done
  const behind = (launch = 0): string[] => calls.slice(launch, launch + 9).map((call) => call.replace(/ .*/, ""));
  assert.deepEqual(behind(launches[0]), [
    "cudaGraphLaunch",
    "cudaEventRecord",
    "cudaEventSynchronize",
    "cudaMemcpy",
    "cudaMemcpy",
    "cudaStreamWaitEvent",
    "cudaMemcpyAsync",
    "cudaEventRecord",
    "cudaEventQuery",
  ]);
  // without one that was prepared, the step's own batch goes the same way before it
  assert.deepEqual(behind(launches[1]).slice(0, 4), [
    "cudaGraphLaunch",
    "cudaEventRecord",
    "cudaEventQuery",
    "cudaEventSynchronize",
  ]);
  assert.ok(!calls.slice(launches[0], launches[3]).includes("cudaDeviceSynchronize"));
  assert.match(calls.at(-1) ?? "", held);
});

test("the provider finds libraries that lie outside of the loader's path", { skip }, () => {
  // CUDNN_LIBRARY and the others name the folder; what lies beside them is found there
  const { status, stderr } = profile({ LD_LIBRARY_PATH: undefined });
  assert.equal(status, 0, stderr);
});

const faults: readonly (readonly [fail: string, message: RegExp])[] = [
  ["cudaMalloc:1=2", /^mutwo: CUDA: out of memory \[cudaErrorMemoryAllocation\] \(cudaMalloc of /],
  ["cudaStreamEndCapture:1=900", /^mutwo: CUDA: operation not permitted when stream is capturing/],
  ["nvrtcCompileProgram:1=6", /^mutwo: NVRTC: mutwo\.cu\(1\): error: stub error/],
  ["cudnnCreate:1=1", /^mutwo: cuDNN: CUDNN_STATUS_STUB \(cudnnCreate\)/],
];

for (const [fail, message] of faults)
  test(`mutwo profile --backend cuda with a fault (${fail}): one line, exit status 2, nothing held`, { skip }, () => {
    const { status, signal, stderr, calls } = profile({ STUB_CUDA_FAIL: fail });
    assert.deepEqual([status, signal], [2, null]);
    const lines = stderr
      .trim()
      .split("\n")
      .filter((line) => line.startsWith("mutwo: "));
    assert.equal(lines.length, 1);
    assert.match(lines[0] ?? "", message);
    assert.match(calls.at(-1) ?? "", held);
  });

test("mutwo train --backend cuda whose GPU vanishes in a step ends in one line with the newest checkpoint", {
  skip,
}, () => {
  const data = path.join(root, "images.safetensors");
  const bytes = (count: number) => new Uint8Array(4 * count);
  const labels = new Uint8Array(8 * 16);
  writeSafetensors(
    data,
    new Map([
      ["input", { dtype: "float32" as const, shape: [16, 3, 48, 48], data: bytes(16 * 3 * 48 * 48) }],
      ["label", { dtype: "int64" as const, shape: [16], data: labels }],
    ]),
  );
  const out = path.join(root, "trained.onnx");
  const words = `train ${at("fixtures/resnet_bottleneck_dynamic.onnx")} --loss ce --optimizer sgd --dim batch=2 --backend cuda --epochs 3 --checkpoint-every 3 --no-report`;
  const all = [...words.split(" "), "--data", data, "--out"];
  const whole = mutwo([...all, path.join(root, "whole.onnx")]);
  assert.equal(whole.status, 0, whole.stderr);
  // the first launches look for the fastest ways to compute; the last ones are steps
  const launches = whole.calls.filter((call) => /^cudaGraphLaunch\b/.test(call)).length;
  const { status, stdout, stderr, calls } = mutwo([...all, out], {
    STUB_CUDA_FAIL: `cudaGraphLaunch:${launches - 4}=700`,
  });
  assert.deepEqual([status, stdout], [2, ""]);
  const lines = stderr.split("\n").filter((line) => line.startsWith("mutwo: "));
  assert.equal(lines.length, 1);
  const [, step = "", file = ""] =
    /^mutwo: step (\d+): CUDA: the GPU failed: .*; the newest checkpoint is (.*)$/.exec(lines[0] ?? "") ?? [];
  assert.ok(file, stderr);
  const { log } = readCheckpoint(file);
  assert.ok(log.steps % 3 === 0 && log.steps < Number(step) && log.steps > Number(step) - 4, lines[0]);
  assert.equal(existsSync(out), false);
  assert.match(calls.at(-1) ?? "", held);
});

test("mutwo cuda install finds what is installed and fetches nothing", {
  skip: skip || (!holdsProvider(installedFolder()) && "the provider is not in the cache"),
}, () => {
  const { env } = stub as Exclude<typeof stub, { reason: string }>;
  const { ORT_LIBRARY: _, XDG_CACHE_HOME: __, ...rest } = env;
  const { status, stdout, stderr } = spawnSync(process.execPath, [...program, "cuda", "install"], {
    encoding: "utf8",
    env: { ...rest, PATH: path.join(root, "no programs here") },
  });
  assert.equal(status, 0, stderr);
  assert.match(stdout, new RegExp(`^provider for CUDA 1[23]: ${installedFolder()}\n$`));
  assert.match(stderr, /^check .*\nwarning: the cuda backend does not work here: a kernel gave a wrong result: /);
});
