import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseGraph } from "../../src/build/parse.js";
import { phases } from "../../src/graph/graph.js";
import { gradientOf } from "../../src/graph/names.js";
import { valuesOf } from "../../src/graph/values.js";
import { bindModel } from "../../src/model/bind.js";
import type { Model } from "../../src/model/model.js";
import { openOnnx } from "../../src/model/onnx.js";
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

/** A model with its tensors called otherwise; inputs and outputs keep their places. */
function renamedModel(model: Model, names: ReadonlyMap<string, string>): Model {
  const to = (name: string): string => names.get(name) ?? name;
  return {
    ...model,
    inputs: model.inputs.map((input) => ({ ...input, name: to(input.name) })),
    outputs: model.outputs.map((output) => ({ ...output, name: to(output.name) })),
    initializers: new Map([...model.initializers].map(([name, value]) => [to(name), value])),
    nodes: model.nodes.map((node) => ({ ...node, inputs: node.inputs.map(to), outputs: node.outputs.map(to) })),
    valueInfo: [],
  };
}

const strange = ["x y", "a@b", "W@recompute", "..", "é\u2028", "toString", "__proto__", "n".repeat(10_000)];

for (const [file, options] of [
  ["mlp.ts.onnx", { loss: "mse", optimizer: "adam", accumulate: 2, clipNorm: 1 }],
  ["lstm.ts.onnx", { loss: "ce", optimizer: "sgd:lr=0.1,momentum=0.9", precision: "mixed:type=bfloat16" }],
  ["bert_tiny.ts.onnx", { loss: "ce:chunks=2", optimizer: "adamw" }],
  ["resnet_basic.ts.onnx", { loss: "ce", optimizer: "sgd" }],
] as const)
  test(`trainingStep(${file}) computes the same bits where tensors are called as the step calls its own`, async () => {
    const model = openOnnx(at("fixtures", file));
    const stepOf = (of: Model) => {
      const { graph } = bindModel(of, { evaluate: (node, inputs) => runtime.evaluate(node, inputs) });
      const step = trainingStep(graph, options);
      return { graph, step, lowered: lower(step, runtime.hasKernel) };
    };
    const plain = stepOf(model);
    const own = new Set([...model.initializers.keys(), ...model.nodes.flatMap(({ outputs }) => outputs)]);
    const parameters = [...plain.graph.tensors.values()].filter(({ category }) => category === "parameter");
    const made = [plain.step, plain.lowered]
      .flatMap(({ tensors, nodes }) => [...tensors.keys(), ...nodes.map(({ name }) => name)])
      .filter((name) => !own.has(name) && !plain.graph.inputs.includes(name));
    // the whole gradients first: activations take their names
    const gradients = parameters.flatMap(({ name }) => gradientOf(plain.step, name) ?? []);
    const wishes = [...new Set([...strange, ...gradients, ...made])];
    const held = new Set(parameters.map(({ name }) => name));
    const order = [...own].filter((name) => name && !held.has(name));
    const names = new Map(order.map((name, i) => [name, wishes[i] ?? name] as const));
    const renamed = stepOf(renamedModel(model, names));
    const taken = [...names.values()].filter((name) => plain.step.tensors.has(name) && !own.has(name));
    assert.ok(taken.length > 10, `${taken.length} names`);
    const results = async ({ graph, step, lowered }: ReturnType<typeof stepOf>): Promise<unknown[]> => {
      const values = initialValues(lowered, step, 0);
      // seeded by name: the same values by place
      for (const [i, name] of step.inputs.entries())
        values.set(name, initialValues(plain.lowered, plain.step, 0).get(plain.step.inputs[i] as string) as Uint8Array);
      const gradientNames = [...graph.tensors.values()].flatMap(({ name, category }) =>
        category === "parameter" ? (gradientOf(lowered, name) ?? []) : [],
      );
      assert.equal(gradientNames.length, parameters.length);
      const { step: loaded } = loadWithValues(lowered, runtime, values);
      try {
        const { observed } = await loaded.run({ observe: new Set(gradientNames) });
        const ends = [lowered.loss as string, ...lowered.state.map(({ before }) => before)].map((name) =>
          loaded.read(name),
        );
        return [...gradientNames.map((name) => observed.get(name) ?? loaded.read(name)), ...ends].map((bytes) =>
          Buffer.from(bytes).toString("hex"),
        );
      } finally {
        loaded.close();
      }
    };
    assert.deepEqual(await results(renamed), await results(plain));
  });
