import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseGraph } from "../../src/build/parse.js";
import { phases } from "../../src/graph/graph.js";
import { valuesOf } from "../../src/graph/values.js";
import { readModel } from "../../src/model/read.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { loadWithValues } from "../../src/runtime/load.js";
import { initialValues } from "../../src/step/initial.js";
import { lower } from "../../src/step/lower.js";
import { lossOutput, trainingStep } from "../../src/step/training.js";
import { at } from "../at.js";

const runtime = openCpu();

after(() => runtime.close());

const fixture = (name: string): string => at("fixtures", name);

const read = (name: string, dims = {}) => readModel(fixture(name), { dims, runtime }).graph;

test("trainingStep(graph) lists the phases one after the other", () => {
  const step = trainingStep(read("mlp.ts.onnx"), { loss: "mse", optimizer: "adam" });
  const order = step.nodes.map((node) => phases.indexOf(node.phase));
  assert.deepEqual(
    order,
    [...order].sort((a, z) => a - z),
  );
  assert.deepEqual(new Set(order), new Set([0, 1, 2, 3]));
});

test("trainingStep(graph) updates all parameters by a handful of nodes over flat buffers", () => {
  const step = trainingStep(read("resnet_basic.ts.onnx"), { loss: "ce", optimizer: "adam" });
  const update = step.nodes.filter((node) => node.phase === "update");
  assert.ok(update.length <= 24, `${update.length} update nodes`);
  const flat = step.tensors.get("parameters");
  assert.deepEqual(flat?.shape, [70186]);
  const covered = [...step.tensors.values()]
    .filter((t) => t.within?.tensor === "parameters")
    .map((t) => ({ at: t.within?.offsetBytes ?? 0, bytes: t.shape.reduce((n, d) => n * d, 4) }))
    .sort((a, z) => a.at - z.at);
  let end = 0;
  for (const { at, bytes } of covered) {
    assert.equal(at, end);
    end += bytes;
  }
  assert.equal(end, 70186 * 4);
});

test("trainingStep(graph) takes the first output of floats unless the loss names one", () => {
  const graph = parseGraph(`graph n(float32[2,3] x, parameter float32[3,2] w) => (best, y, z) {
    y = MatMul(x, w)
    best = ArgMax<axis=1, keepdims=0>(y)
    z = Neg(y)
  }`);
  const readers = (loss: string): string[] =>
    trainingStep(graph, { loss, optimizer: "sgd" })
      .nodes.filter(({ phase }) => phase === "loss")
      .flatMap(({ inputs }) => inputs);
  assert.ok(readers("mse").includes("y") && !readers("mse").includes("z"));
  assert.ok(readers("mse:output=z").includes("z"));
  assert.deepEqual([lossOutput("mse"), lossOutput("ce:axis=1,output=z")], [null, "z"]);
});

test("trainingStep(graph) keeps batch norm's running statistics as state, not as parameters", () => {
  const step = trainingStep(read("resnet_basic.ts.onnx"), { loss: "ce", optimizer: "sgd" });
  const statistics = step.state.filter(({ before }) => step.tensors.get(before)?.category === "buffer");
  assert.ok(statistics.length > 0);
  for (const { before } of statistics) assert.match(before, /running_(mean|var)$/);
  for (const tensor of step.tensors.values())
    if (tensor.within?.tensor === "parameters") assert.doesNotMatch(tensor.name, /running_/);
});

test("trainingStep(graph) refuses unknown names and losses that do not fit, in one line", () => {
  const graph = read("mlp.ts.onnx");
  assert.throws(() => trainingStep(graph, { loss: "hinge", optimizer: "sgd" }), /^Error: unknown loss: hinge/);
  assert.throws(() => trainingStep(graph, { loss: "mse", optimizer: "lion" }), /^Error: unknown optimizer: lion/);
  assert.throws(() => trainingStep(graph, { loss: "ce:axis=7", optimizer: "sgd" }), /loss ce does not fit output/);
  assert.throws(
    () => trainingStep(graph, { loss: "mse", optimizer: "sgd:lr=fast" }),
    /lr of sgd is not a number: fast/,
  );
  assert.throws(() => trainingStep(graph, { loss: "mse", optimizer: "sgd:rate=1" }), /unknown setting of sgd: rate/);
});

test("a training step lowers the loss on one batch when it is run again and again", async () => {
  const step = trainingStep(read("resnet_bottleneck_dynamic.onnx", { batch: 8 }), {
    loss: "ce",
    optimizer: "adam:lr=1e-2",
  });
  const lowered = lower(step, (node, tensors) => runtime.hasKernel(node, tensors));
  const { step: loaded } = loadWithValues(lowered, runtime, initialValues(lowered, step, 0));
  try {
    const losses: number[] = [];
    for (let i = 0; i < 12; i++) {
      await loaded.run();
      losses.push(valuesOf("float32", loaded.read(lowered.loss as string))[0] as number);
    }
    assert.ok((losses.at(-1) as number) < 0.7 * (losses[0] as number), losses.map((x) => x.toFixed(3)).join(" "));
  } finally {
    loaded.close();
  }
});
