import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../../src/build/text.js";
import { briefMs, copyTimes, nodeSamples, stampedSamples, timed } from "../../../src/runtime/gpu/measure.js";
import { type FakeOptions, fakeGpu } from "./fake-gpu.js";

const opened = (options?: FakeOptions) => {
  const fake = fakeGpu(options);
  return { ...fake, stage: { cuda: fake.gpu.cuda, stream: 1n, events: [51n, 52n] as const } };
};

test("timed(stage, work) is the time between an event before the work and one after it", () => {
  const { stage, lines } = opened({ elapsedMs: 3 });
  assert.equal(
    timed(stage, () => void lines.push("work")),
    3,
  );
  assert.deepEqual(lines, ["record 51 stream 1", "work", "record 52 stream 1"]);
});

/** What `briefMs` says of work that takes so long, and how often it ran outside and inside of a captured graph. */
function brief(elapsedMs: number, best: number) {
  const { stage, lines, made } = opened({ elapsedMs });
  const ms = briefMs(stage, () => void lines.push("work"), best);
  assert.equal(made.size, 0);
  const [before = "", inside = ""] = lines.join("\n").split(/^capture$/m);
  const runs = (text: string): number => text.match(/^work$/gm)?.length ?? 0;
  return [ms, runs(before), runs(inside)];
}

test("briefMs(stage, work, best) repeats short work in a captured graph, and what is far from the best not at all", () => {
  assert.deepEqual(brief(0.1, Number.POSITIVE_INFINITY), [0.1 / 3, 2, 3]);
  assert.deepEqual(brief(0.001, 0.001), [0.001 / 10, 2, 10]);
  assert.deepEqual(brief(5, 4), [5, 2, 1]);
  assert.deepEqual(brief(5, 1), [5, 2, 0]);
});

const graph = parseGraph("graph(float32[4] x, float32[4] z) => (y) { y = Add(x, z) }");

/** How often the node was called in each capture, and its samples; `y` lies where `at` says. */
function sampled(elapsedMs: number, at: bigint) {
  const { stage, lines, memory, made } = opened({ elapsedMs });
  const places = new Map([
    ["x", 1000n],
    ["z", 2000n],
    ["y", at],
  ]);
  const samples = nodeSamples(
    stage,
    graph,
    0,
    () => void lines.push("call"),
    (name) => places.get(name) as bigint,
  );
  assert.deepEqual([memory.held.size, made.size], [0, 0]);
  const captures = lines
    .join("\n")
    .split(/^capture$/m)
    .slice(1);
  const calls = captures.map((text) => text.match(/^call$/gm)?.length);
  return { calls, samples, copies: lines.filter((line) => line.startsWith("copy")) };
}

test("nodeSamples(node) repeats a short node until 0.4 ms or 20 times, and divides", () => {
  assert.deepEqual(sampled(0.1, 3000n).calls, [1, 4]);
  assert.deepEqual(sampled(0.001, 3000n).calls, [1, 20]);
  assert.deepEqual(sampled(5, 3000n).calls, [1, 1]);
  assert.deepEqual(sampled(0.1, 3000n).samples, new Array(5).fill(0.1 / 4));
});

test("nodeSamples(node) keeps the inputs that the node writes over, and no others", () => {
  assert.deepEqual(sampled(1, 3000n).copies, []);
  const [kept, restored, ...more] = sampled(1, 1000n).copies;
  assert.match(kept ?? "", /^copy 16 bytes 1000→/);
  assert.match(restored ?? "", /^copy 16 bytes \d+→1000 kind 3/);
  assert.deepEqual(more, []);
});

test("stampedSamples(stage, count) are the times between stamps, without what a stamp costs, ms", () => {
  const { stage, made, memory } = opened();
  const order: string[] = [];
  // a stamp costs 100 ns, the nodes 2000 and 3000
  const cuda = {
    ...stage.cuda,
    read(into: Uint8Array) {
      const times = new BigUint64Array(into.buffer);
      [0n, 2100n, 5200n].forEach((time, i) => void times.set([time], i));
      for (let i = 3; i < times.length; i++) times[i] = BigInt(100 * i);
    },
  } as unknown as typeof stage.cuda;
  const samples = stampedSamples(
    { ...stage, cuda },
    2,
    (work) => cuda.capture(1n, () => work(() => {})),
    (index) => void order.push(`node ${index}`),
    () => void order.push("stamp"),
  );
  assert.deepEqual(order.slice(-5), ["stamp", "node 0", "stamp", "node 1", "stamp"]);
  assert.equal(samples[0]?.length, 10);
  assert.deepEqual(
    samples.map(([first]) => Number(first?.toFixed(9))),
    [0.002, 0.003],
  );
  assert.deepEqual([made.size, memory.held.size], [0, 0]);
});

test("copyTimes(sizes) times each size once, none beyond what may be overwritten", () => {
  const { stage, memory } = opened();
  const bytes = (...sizes: number[]) => copyTimes(stage, 1000n, 500, sizes).map((copy) => copy.bytes);
  assert.deepEqual(bytes(100, 20, 100, 0, 900), [20, 100, 500]);
  assert.deepEqual(bytes(0), []);
  assert.equal(memory.held.size, 0);
});
