import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import type { Node } from "../../src/graph/graph.js";
import { bytesOf } from "../../src/graph/values.js";
import { layout } from "../../src/memory/layout.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { type Place, prepareStep } from "../../src/runtime/interpreter.js";
import { seededGraph } from "../../src/step/initial.js";
import { writtenKernels } from "./written-kernels.js";

const graph = parseGraph(`graph(float32[4] x) => (c) {
  a = Relu(x)
  v = Reshape(a, int64[2]{2,2})
  b = Neg(a)
  c = Relu(b)
}`);

/** A place in which every node counts up one byte that all tensors share. */
function counting(more: Partial<Place> = {}) {
  let byte = 0;
  const ran: string[] = [];
  const place: Place = {
    address: () => 64n,
    read: () => Uint8Array.of(byte),
    own: ({ name, op }: Node) =>
      op === "Reshape"
        ? undefined
        : () => {
            byte++;
            ran.push(name);
          },
    hostInputs: () => [],
    kernelsKnowShapes: false,
    ...more,
  };
  return { place, ran };
}

test("prepareStep(graph).run() executes nodes in list order, and calls nothing for views", async () => {
  const { place, ran } = counting();
  const step = prepareStep(graph, writtenKernels(), place);
  await step.run();
  assert.deepEqual(ran, ["a", "b", "c"]);
  assert.deepEqual(
    step.nodes.map(({ index }) => index),
    [0, 2, 3],
  );
});

test("prepareStep(graph).run() invokes kernels with their tensors; nodes that are alike share an operator", async () => {
  const kernels = writtenKernels();
  await prepareStep(graph, kernels, counting({ own: () => undefined }).place).run();
  const [relu, neg] = ["Relu", "Neg"].map(
    (op) => /^op (\d+)/.exec(kernels.lines.find((l) => l.endsWith(op)) ?? "")?.[1],
  );
  assert.deepEqual(
    kernels.lines.filter((line) => line.startsWith("invoke")),
    [`invoke ${relu} 1→1`, `invoke ${neg} 1→1`, `invoke ${relu} 1→1`],
  );
});

test("run({observe}) copies a tensor when its node has run, a view's with the node before it", async () => {
  const { observed } = await prepareStep(graph, writtenKernels(), counting().place).run({
    observe: new Set(["a", "v", "b", "c"]),
  });
  assert.deepEqual(
    [...observed].map(([name, [byte]]) => `${name} ${byte}`),
    ["a 1", "v 1", "b 2", "c 3"],
  );
});

test("run({timeNodes}) has a time for each node, 0 for a view; else none", async () => {
  const wait = () => {
    for (const until = performance.now() + 2; performance.now() < until; );
  };
  const { place } = counting({ own: ({ op }) => (op === "Reshape" ? undefined : wait) });
  const step = prepareStep(graph, writtenKernels(), place);
  const { nodeMs, stepMs } = await step.run({ timeNodes: true });
  assert.deepEqual(
    [...nodeMs].map((ms) => ms >= 2),
    [true, false, true, true],
  );
  assert.equal(nodeMs[1], 0);
  assert.ok(stepMs >= nodeMs.reduce((sum, ms) => sum + ms, 0));
  assert.equal((await step.run()).nodeMs.length, 0);
});

test("run() leaves the callback after 50 ms, so that a signal stops it between two nodes", async () => {
  const controller = new AbortController();
  const slow = () => {
    for (const until = performance.now() + 60; performance.now() < until; );
  };
  const { place, ran } = counting();
  const own: Place["own"] = (node, index) => {
    const count = place.own(node, index);
    if (!count) return undefined;
    return () => {
      count();
      slow();
    };
  };
  const step = prepareStep(graph, writtenKernels(), { ...place, own });
  setImmediate(() => controller.abort(new Error("stopped")));
  await assert.rejects(step.run({ signal: controller.signal, timeNodes: true }), /^Error: stopped$/);
  assert.deepEqual(ran, ["a"]);
});

test("run() names the node that fails, and calls around(index, call) for each", async () => {
  const around: number[] = [];
  const { place } = counting({
    around(index, call) {
      around.push(index);
      call();
      if (index === 2) throw new Error("it broke");
    },
  });
  await assert.rejects(prepareStep(graph, writtenKernels(), place).run(), {
    message: "it broke (while running b: Neg)",
  });
  assert.deepEqual(around, [0, 2]);
});

test("release() releases operators and values once, and so does a step that cannot be prepared", async () => {
  const released = (lines: readonly string[]) => lines.filter((line) => line.startsWith("release")).length;
  const kernels = writtenKernels();
  const step = prepareStep(graph, kernels, counting({ own: () => undefined }).place);
  const made = kernels.lines.length;
  step.release();
  step.release();
  assert.equal(released(kernels.lines), made);
  await assert.rejects(step.run(), { message: "the step is closed" });
  const lacking = writtenKernels(["Neg"]);
  assert.throws(() => prepareStep(graph, lacking, counting({ own: () => undefined }).place), /no kernel: Neg/);
  assert.equal(released(lacking.lines), lacking.lines.length / 2);
});

test("run({beforeUpdate}) calls it once, before the first node of the update; never where there is none", async () => {
  const step = {
    ...graph,
    nodes: graph.nodes.map((node) => ({ ...node, phase: node.name > "a" ? ("update" as const) : node.phase })),
  };
  for (const [of, expected] of [
    [step, [["a"]]],
    [graph, []],
  ] as const) {
    const { place, ran } = counting();
    const prepared = prepareStep(of, writtenKernels(), place);
    const calls: string[][] = [];
    await prepared.run({ beforeUpdate: () => calls.push([...ran]) });
    assert.deepEqual(calls, expected);
    assert.deepEqual(ran, ["a", "b", "c"]);
  }
});

test("skipTo(runs) draws what would come after so many runs, of every random op; 0 begins again", () => {
  const runtime = openCpu({ threads: 1 });
  const noise = seededGraph(
    parseGraph(`graph(float32[16] x, constant float32[] r = {0.5}, constant bool[] t = {1}) => (a, b, c) {
      a, m = Dropout(x, r, t)
      b = RandomUniformLike(x)
      c = RandomNormalLike(x)
    }`),
    3,
  );
  const step = runtime.load(noise, layout(noise));
  step.write("x", bytesOf("float32", new Array(16).fill(1)));
  const draw = (): Uint8Array[] => {
    step.runNow();
    return ["a", "b", "c"].map((name) => step.read(name));
  };
  const drawn = Array.from({ length: 5 }, draw);
  for (const runs of [3, 0, 4, 1]) {
    step.skipTo?.(runs);
    assert.deepEqual(draw(), drawn[runs], `after ${runs}`);
  }
  step.close();
  runtime.close();
});
