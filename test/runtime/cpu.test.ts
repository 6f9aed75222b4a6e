import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import type { Node } from "../../src/graph/graph.js";
import { bytesOf, valuesOf } from "../../src/graph/values.js";
import { layout } from "../../src/memory/layout.js";
import { openCpu } from "../../src/runtime/cpu.js";

const runtime = openCpu();

after(() => runtime.close());

const graph = parseGraph(`graph(float32[2,3] x, parameter float32[3,2] w) => (y) {
  h = MatMul(x, w)
  v = Reshape(h, int64[1]{-1})
  y = Relu(v)
}`);

const load = () => {
  const step = runtime.load(graph, layout(graph));
  step.write("x", bytesOf("float32", [1, 2, 3, -1, -2, -3]));
  step.write("w", bytesOf("float32", [1, 0, 0, 1, 1, 1]));
  return step;
};

test("load(graph, layout).run() executes nodes in order on one arena of the predicted size; observed values are copies", async () => {
  const step = load();
  assert.equal(step.allocatedBytes, layout(graph).arenaBytes);
  const { observed, nodeMs } = await step.run({ observe: new Set(["h", "v", "y"]), timeNodes: true });
  assert.deepEqual(valuesOf("float32", observed.get("h") as Uint8Array), [4, 5, -4, -5]);
  assert.deepEqual(valuesOf("float32", observed.get("v") as Uint8Array), [4, 5, -4, -5]);
  assert.deepEqual(valuesOf("float32", step.read("y")), [4, 5, 0, 0]);
  assert.equal(nodeMs.length, 3);
  assert.ok((nodeMs[0] as number) > 0 && nodeMs[1] === 0);
  step.close();
});

test("write refuses a value of another size, run an aborted signal, and a closed step does not run", async () => {
  const step = load();
  assert.throws(() => step.write("x", new Uint8Array(4)), /value of x has 4 bytes, not 24/);
  await assert.rejects(step.run({ signal: AbortSignal.abort(new Error("stopped")) }), /stopped/);
  step.close();
  step.close();
  await assert.rejects(step.run(), /the step is closed/);
});

test("many short steps leave timers and signals their turn", async () => {
  const step = load();
  const controller = new AbortController();
  setImmediate(() => controller.abort(new Error("interrupted")));
  const many = async (): Promise<void> => {
    for (let i = 0; i < 200_000; i++) await step.run({ signal: controller.signal });
  };
  await assert.rejects(many(), /interrupted/);
  step.close();
});

test("a kernel that fails names its node and leaves the runtime usable", async () => {
  const broken = parseGraph(`graph(float32[4,2] x, int64[2] i) => (y) {
  y = Gather(x, i)
}`);
  const step = runtime.load(broken, layout(broken));
  step.write("i", bytesOf("int64", [0, 99]));
  await assert.rejects(step.run(), /^Error: index out of range: 99 \(while running y: Gather\)$/);
  step.write("i", bytesOf("int64", [0, 3]));
  await step.run();
  step.close();
});

test("measure().workspaceBytes is what a kernel takes from the allocator: the same each time, 0 for a view", async () => {
  const conv = parseGraph(`graph(float32[4,16,32,32] x, parameter float32[16,16,3,3] w) => (y) {
  h = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w)
  y = Reshape(h, int64[1]{-1})
}`);
  const step = runtime.load(conv, layout(conv));
  const measured = async () => (await step.measure({ iterations: 1, warmups: 0, copyBytes: [] })).workspaceBytes;
  const [first, second] = [await measured(), await measured()];
  assert.deepEqual(first, second);
  assert.ok((first?.[0] as number) > 0);
  assert.equal(first?.[1], 0);
  step.close();
});

test("loading and closing a step 300 times does not grow the process without bound", () => {
  for (let i = 0; i < 50; i++) load().close();
  const before = process.memoryUsage().rss;
  for (let i = 0; i < 300; i++) load().close();
  assert.ok(process.memoryUsage().rss - before < 64 * 2 ** 20);
});

test("channelBlock is how many channels the convolution kernels of this processor hold side by side", () => {
  const block = runtime.channelBlock ?? 1;
  assert.ok([1, 4, 8, 16].includes(block), `${block}`);
  const blocked = (size: number) =>
    parseGraph(`graph(float32[1,64,2,3] x) => (y) { y = mutwo.IntoBlocks<block=${size}>(x) }`);
  const has = (size: number): boolean => {
    const one = blocked(size);
    return runtime.hasKernel(one.nodes[0] as Node, one);
  };
  assert.equal(has(block), block > 1);
  assert.equal(has(2), false, "a block of another size");
});
