import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { at } from "../../at.js";
import { tsx } from "../../program.js";
import { stubCuda } from "../../stub-cuda.js";

const stub = stubCuda();

const skip = "reason" in stub && stub.reason;

const root = mkdtempSync(path.join(tmpdir(), "mutwo-lanes-"));

let runs = 0;

/** Two steps of so many lanes over the stub libraries; `calls` are the names of all functions called, in order. */
function run(lanes: number, env: NodeJS.ProcessEnv = {}) {
  if ("reason" in stub) throw new Error(stub.reason);
  const log = path.join(root, `${++runs}.log`);
  const command = [...tsx, at("stub-lanes.ts"), String(lanes)];
  const { status, stderr } = spawnSync(process.execPath, command, {
    encoding: "utf8",
    env: { ...stub.env, STUB_CUDA_LOG: log, XDG_CACHE_HOME: path.join(root, `${runs}.cache`), ...env },
  });
  const calls = readFileSync(log, "utf8").trim().split("\n");
  return { status, stderr, calls, times: (name: string) => calls.filter((call) => call === name).length };
}

const held = /^held deviceBytes=0 hostBytes=0 streams=0 events=0 graphs=0 executables=0$/;

test("each lane has streams, a session and handles of its own, opened once for all steps, and all are given back", {
  skip,
}, () => {
  const [one, three] = [run(1), run(3)];
  for (const { status, stderr, calls } of [one, three]) {
    assert.equal(status, 0, stderr);
    assert.match(calls.at(-1) ?? "", held);
  }
  assert.equal(three.times("cudaStreamCreateWithFlags") - one.times("cudaStreamCreateWithFlags"), 2 * 3);
  for (const made of ["cublasCreate_v2", "cudnnSetStream"]) assert.equal(three.times(made), 3 * one.times(made), made);
});

test("a captured step forks into its lanes and joins them; one of a single lane does not", { skip }, () => {
  const captures = ({ calls }: ReturnType<typeof run>): string[][] =>
    calls.flatMap((call, i) =>
      call === "cudaStreamBeginCapture"
        ? [calls.slice(i + 1, calls.indexOf("cudaStreamEndCapture", i)).filter((name) => /Event|gemm/i.test(name))]
        : [],
    );
  assert.deepEqual(captures(run(1))[0], ["cublasSgemm_v2"]);
  assert.deepEqual(captures(run(3))[0], [
    "cudaEventRecord",
    "cudaStreamWaitEvent",
    "cudaStreamWaitEvent",
    "cublasSgemm_v2",
    "cublasSgemm_v2",
    "cublasSgemm_v2",
    "cudaEventRecord",
    "cudaStreamWaitEvent",
    "cudaEventRecord",
    "cudaStreamWaitEvent",
  ]);
});

test("a lane that cannot be opened ends with what CUDA says, and what was taken is given back", { skip }, () => {
  // three streams are the first lane's
  const { status, stderr, calls } = run(3, { STUB_CUDA_FAIL: "cudaStreamCreateWithFlags:5=2" });
  assert.equal(status, 2);
  assert.match(stderr, /^CUDA: .*\(cudaStreamCreateWithFlags\)$/m);
  assert.match(calls.at(-1) ?? "", held);
});
