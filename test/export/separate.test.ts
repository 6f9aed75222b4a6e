import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseGraph, printGraph } from "../../src/build/text.js";
import { separate } from "../../src/export/separate.js";
import type { Graph } from "../../src/graph/graph.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { loadWithValues } from "../../src/runtime/load.js";
import { initialValues } from "../../src/step/initial.js";
import { type TrainingOptions, trainingStep } from "../../src/step/training.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

const forward = parseGraph(`graph(float32[2,3] x, parameter float32[3,2] w, parameter float32[2] b) => (y) {
  h = MatMul(x, w)
  y = Add(h, b)
}`);

const step = (options: Partial<TrainingOptions>): Graph =>
  trainingStep(forward, { loss: "mse", optimizer: "sgd", ...options });

/** The lines of the update. */
const update = (graph: Graph): string[] =>
  (printGraph(graph).split("update:\n")[1] ?? "").split("\n").flatMap((line) => line.replace("}", "").trim() || []);

test("separate(step) writes the update out for each parameter, with a state of its own", () => {
  assert.deepEqual(update(separate(step({ optimizer: "sgd:momentum=0.9" }))), [
    "[update/Mul/w] update/Mul:0/w = Mul(w.velocity, const.float32.0.9)",
    "[update/Mul/b] update/Mul:0/b = Mul(b.velocity, const.float32.0.9)",
    "[update/Add/w] optimizer state w.velocity.next = Add(update/Mul:0/w, w.grad)",
    "[update/Add/b] optimizer state b.velocity.next = Add(update/Mul:0/b, b.grad)",
    "[update/Mul_2/w] update/Mul_2:0/w = Mul(w.velocity.next, const.float32.0.01)",
    "[update/Mul_2/b] update/Mul_2:0/b = Mul(b.velocity.next, const.float32.0.01)",
    "[update/Sub/w] parameter w.next = Sub(w, update/Mul_2:0/w)",
    "[update/Sub/b] parameter b.next = Sub(b, update/Mul_2:0/b)",
    "state w.velocity -> w.velocity.next",
    "state b.velocity -> b.velocity.next",
    "state w -> w.next",
    "state b -> b.next",
    "loss loss",
  ]);
});

test("separate(step) joins the parts for what needs them all, once: the norm of all gradients", () => {
  const lines = update(separate(step({ clipNorm: 1 })));
  assert.deepEqual(lines.slice(0, 3), [
    "[update/MatMul/Reshape] update/MatMul/Reshape:0 = Reshape(w.grad, const.int64.6)",
    "[gradients/Concat] gradients/Concat:0 = Concat<axis=0>(update/MatMul/Reshape:0, b.grad)",
    "[update/MatMul] update/MatMul:0 = MatMul(gradients/Concat:0, gradients/Concat:0)",
  ]);
  assert.equal(lines.filter((line) => line.includes("= Concat")).length, 1);
});

test("separate(step) leaves nothing that lies within something else, and the forward phase as it is", () => {
  const separated = separate(step({}));
  assert.ok([...separated.tensors.values()].every(({ within }) => within === undefined));
  const before = (graph: Graph): unknown => graph.nodes.filter(({ phase }) => phase === "forward");
  assert.deepEqual(before(separated), before(step({})));
});

test("separate(step) computes the same bits, in two steps of each optimizer", async () => {
  for (const optimizer of ["sgd:momentum=0.9", "adam"]) {
    const whole = step({ optimizer, clipNorm: 0.1 });
    const values = initialValues(whole, whole, 0);
    const after2 = async (graph: Graph): Promise<Map<string, Uint8Array>> => {
      const { step: loaded } = loadWithValues(graph, runtime, values);
      await loaded.run();
      await loaded.run();
      const read = new Map(["w", "b", "loss"].map((name) => [name, loaded.read(name)]));
      loaded.close();
      return read;
    };
    assert.deepEqual(await after2(separate(whole)), await after2(whole), optimizer);
  }
});
