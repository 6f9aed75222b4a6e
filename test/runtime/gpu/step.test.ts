import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../../src/build/text.js";
import { layout } from "../../../src/memory/layout.js";
import { Releases } from "../../../src/runtime/gpu/releases.js";
import { GpuStep, hostInputs } from "../../../src/runtime/gpu/step.js";
import { type FakeOptions, fakeGpu } from "./fake-gpu.js";

const opened = (text: string, options?: FakeOptions) => {
  const graph = parseGraph(text);
  const fake = fakeGpu(options);
  const releases = new Releases();
  return { ...fake, releases, step: new GpuStep(graph, layout(graph), fake.gpu, releases) };
};

const softmax = "graph(float32[3,4] x) => (y) { h = Softmax(x) y = Softmax(h) }";

const noise = "graph(float32[3,4] x) => (y) { y = RandomNormalLike<seed=1>(x) }";

/** Lines of each of some runs, without what times them. */
async function runs({ step, taken }: ReturnType<typeof opened>, count: number): Promise<string[]> {
  taken();
  const all: string[] = [];
  for (let i = 0; i < count; i++) {
    await step.run();
    all.push(
      taken()
        .filter((line) => !line.startsWith("record"))
        .map((line) => line.replace(/ of ONNX Runtime| of \d: .*/, ""))
        .join(", "),
    );
  }
  return all;
}

test("run() launches kernels from the host twice, then captures them once and replays", async () => {
  assert.deepEqual(await runs(opened(softmax), 4), [
    "kernel, kernel",
    "kernel, kernel",
    "capture, kernel, kernel, captured, launch graph",
    "launch graph",
  ]);
});

test("run({observe}) launches kernels from the host: a replay stops nowhere", async () => {
  const made = opened(softmax);
  await runs(made, 3);
  const { observed } = await made.step.run({ observe: new Set(["h"]) });
  assert.equal(observed.get("h")?.length, 48);
  assert.ok(!made.taken().includes("launch graph"));
});

test("a step with random numbers counts up after each run; where ONNX Runtime draws them it is not captured", async () => {
  const own = opened(noise);
  assert.deepEqual(
    own.taken().filter((line) => line.startsWith("compile")),
    ["compile 2"],
  );
  assert.deepEqual(await runs(own, 3), [
    "kernel, kernel",
    "kernel, kernel",
    "capture, kernel, kernel, captured, launch graph",
  ]);
  assert.deepEqual(await runs(opened(noise, { compiles: false }), 3), ["kernel", "kernel", "kernel"]);
});

test("a closed step holds nothing and does not run", async () => {
  const { step, releases, memory, made, gpu } = opened(softmax);
  for (let i = 0; i < 3; i++) await step.run();
  releases.close();
  gpu.workspace.close();
  assert.deepEqual([memory.held.size, made.size], [0, 0]);
  await assert.rejects(step.run(), { message: "the step is closed" });
});

test("run({signal}) of an aborted signal runs nothing", async () => {
  const { step, taken } = opened(softmax);
  taken();
  await assert.rejects(step.run({ signal: AbortSignal.abort(new Error("stop")) }), { message: "stop" });
  assert.deepEqual(taken(), []);
});

/** Two steps of two nodes side by side, their results joined. */
const twoLanes = () => {
  const graph = parseGraph(
    "graph(float32[3,4] a, float32[3,4] b) => (y) { p = Softmax(a) q = Softmax(b) r = Softmax(p) s = Softmax(q) y = Add(r, s) }",
  );
  return { ...graph, nodes: graph.nodes.map((node, i) => ({ ...node, lane: i < 4 ? i % 2 : 0 })) };
};

test("lanes are launched in turn by the host, and side by side in a captured step", async () => {
  const graph = twoLanes();
  const { gpu, taken, memory, made } = fakeGpu();
  const releases = new Releases();
  const step = new GpuStep(graph, layout(graph), gpu, releases);
  taken();
  await step.run();
  // which event it is does not matter here
  const lines = (): string[] =>
    taken().map((line) =>
      line
        .replace(/ of (ONNX Runtime|\d: \w+)/, "")
        .replace(/record \d+|for \d+/, (text) => text.split(" ")[0] as string),
    );
  const turn = (from: number, to: number): string[] => [`record stream ${from}`, `stream ${to} waits for`];
  assert.deepEqual(lines().slice(1, -1), [
    "kernel",
    ...turn(1, 11),
    "kernel stream 11",
    ...turn(11, 1),
    "kernel",
    ...turn(1, 11),
    "kernel stream 11",
    ...turn(11, 1),
    "kernel",
  ]);
  await step.run();
  taken();
  await step.run();
  const captured = lines();
  assert.deepEqual(captured.slice(0, captured.indexOf("captured")), [
    "capture",
    ...turn(1, 11),
    "kernel",
    "kernel stream 11",
    "kernel",
    "kernel stream 11",
    ...turn(11, 1),
    "kernel",
    ...turn(11, 1),
  ]);
  releases.close();
  for (const lane of [0, 1]) gpu.lane(lane).workspace.close();
  assert.deepEqual([memory.held.size, made.size], [0, 0]);
});

test("what is observed of a lane is read when the lane has made it", async () => {
  const graph = twoLanes();
  const { gpu, taken } = fakeGpu();
  const step = new GpuStep(graph, layout(graph), gpu, new Releases());
  taken();
  await step.run({ observe: new Set(["q"]) });
  // the first lane waits for the second before the third node, though that is its own
  const lines = taken();
  const kernel = lines.findIndex((line) => line.endsWith("stream 11") && line.startsWith("kernel"));
  assert.match(lines[kernel + 2] ?? "", /^stream 1 waits for/);
});

test("a lane's kernels take what they need from the lane's own workspace", async () => {
  const graph = twoLanes();
  const { gpu } = fakeGpu();
  const step = new GpuStep(graph, layout(graph), gpu, new Releases());
  const workspaces = [gpu.workspace, gpu.lane(1).workspace];
  // what a call takes is counted by the workspace that it is given
  const taken = [0, 1].map((index) =>
    workspaces.map((workspace) => step.during(index, () => void workspace.take(300))),
  );
  assert.deepEqual(taken, [
    [512, 0],
    [0, 512],
  ]);
});

test("hostInputs(node) are those of CUDA's kernel, which may read others than the CPU's", () => {
  const inputsOf = (text: string) => hostInputs(parseGraph(text).nodes[0] as never);
  assert.deepEqual(inputsOf("graph(float32[3,4] x) => (y) { y = Softmax(x) }"), []);
  assert.deepEqual(inputsOf("graph(float32[4] x) => (y) { y = Expand(x, int64[2]{3,4}) }"), [1]);
});
