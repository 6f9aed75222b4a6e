import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { after, test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { type Graph, isFloat, tensorOf } from "../../src/graph/graph.js";
import { valuesOf } from "../../src/graph/values.js";
import { readModel } from "../../src/model/read.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { loadWithValues } from "../../src/runtime/load.js";
import { initialValues, seededGraph } from "../../src/step/initial.js";
import { lower } from "../../src/step/lower.js";
import { inPrecision } from "../../src/step/precision.js";
import { type TrainingOptions, trainingStep } from "../../src/step/training.js";
import { at } from "../at.js";
import { addNormalized, buildSample, graphOf, samples } from "../sampled.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

/** The losses of some steps on one batch. */
async function losses(model: Graph, options: TrainingOptions, seed = 0, steps = 8): Promise<number[]> {
  const step = trainingStep(model, options);
  const lowered = seededGraph(lower(step, runtime.hasKernel), seed);
  const { step: loaded } = loadWithValues(lowered, runtime, initialValues(lowered, step, 0));
  try {
    const made: number[] = [];
    for (let i = 0; i < steps; i++) {
      await loaded.run();
      const loss = lowered.loss as string;
      made.push(valuesOf(tensorOf(lowered, loss).dtype, loaded.read(loss))[0] as number);
    }
    return made;
  } finally {
    loaded.close();
  }
}

const network = (dtype: string): Graph =>
  parseGraph(`graph net(${dtype}[4,3,8,8] x, parameter ${dtype}[6,3,3,3] w, parameter ${dtype}[6] scale,
    parameter ${dtype}[6] bias, parameter ${dtype}[6,5] head) => (y) {
    c = Conv<pads=[1,1,1,1], strides=[2,2]>(x, w)
    a = Relu(c)
    p = GlobalAveragePool(a)
    f = Reshape(p, int64[2]{4,6})
    n = LayerNormalization(f, scale, bias)
    y = MatMul(n, head)
  }`);

for (const dtype of ["float16", "bfloat16", "float64"])
  test(`a ${dtype} model trains: nodes without a kernel run in float32 between casts, or as their bodies`, async () => {
    const made = await losses(network(dtype), { loss: "ce", optimizer: "adam:lr=1e-2" });
    const expected = await losses(network("float32"), { loss: "ce", optimizer: "adam:lr=1e-2" });
    assert.ok((made.at(-1) as number) < 0.9 * (made[0] as number), made.join(" "));
    assert.ok(Math.abs((made[0] as number) - (expected[0] as number)) < 0.05, `${made[0]} for ${expected[0]}`);
  });

test("lower(graph) of float16 casts around what has no float16 kernel, and keeps what has one", () => {
  const step = lower(trainingStep(network("float16"), { loss: "ce", optimizer: "sgd" }), runtime.hasKernel);
  const typeOf = (op: string) => {
    const node = step.nodes.find((n) => n.op === op && n.phase === "forward");
    return node && step.tensors.get(node.inputs[0] as string)?.dtype;
  };
  assert.equal(typeOf("MatMul"), "float16");
  assert.equal(typeOf("Conv"), "float32");
});

const dropped = (ratio: number | null): Graph =>
  parseGraph(`graph net(float32[16,12] x, parameter float32[12,20] first, parameter float32[20,4] second) => (y) {
    h = MatMul(x, first)
    a = Tanh(h)
    d = ${ratio === null ? "Mul(a, float32[]{1})" : `Dropout(a, float32[]{${ratio}}, bool[]{1})`}
    y = MatMul(d, second)
  }`);

test("dropout draws the same for the same seed, and nothing at ratio 0", async () => {
  const options = { loss: "ce", optimizer: "sgd:lr=0.1" };
  const [one, same, other] = [
    await losses(dropped(0.4), options, 7),
    await losses(dropped(0.4), options, 7),
    await losses(dropped(0.4), options, 8),
  ];
  assert.deepEqual(one, same);
  assert.notDeepEqual(one, other);
  assert.deepEqual(await losses(dropped(0), options, 7), await losses(dropped(null), options, 7));
});

test("dropout_block of a file trains, the same way for the same seed", async () => {
  const { graph } = readModel(at("fixtures/dropout_block.onnx"), { dims: { batch: 16 }, runtime });
  const options = { loss: "ce", optimizer: "adam:lr=1e-2" };
  const made = await losses(graph, options, 3);
  assert.deepEqual(made, await losses(graph, options, 3));
  assert.ok((made.at(-1) as number) < 0.8 * (made[0] as number), made.join(" "));
});

/** Names and shapes of what a step of a model trains; what is wrong with it if there is none. */
function trainedOf(model: Graph, loss: string, precision?: string): string[] {
  try {
    const step = trainingStep(model, { loss, optimizer: "sgd", ...(precision && { precision }) });
    return [...step.tensors.values()].flatMap(({ name, shape, category, within }) =>
      category === "parameter" && within ? [`${name} [${shape}]`] : [],
    );
  } catch (error) {
    return [(error as Error).message];
  }
}

const precisions = ["mixed", "mixed:type=bfloat16"];

test("mixed precision trains the same parameters of every op sample, also where outputs are called as ours would be", () => {
  let trainable = 0;
  for (const [i, sample] of samples.entries()) {
    const { b, node } = buildSample(sample, "float32");
    const outputs = addNormalized(b, { ...node, outputs: node.outputs.map((name, k) => name && `node:${k}`) }, sample);
    const output = outputs.find((name) => name && isFloat(b.type(name).dtype));
    if (!output) continue;
    const { tensors, ...graph } = graphOf(b, [output]);
    const parameters = [...tensors].map(
      ([name, tensor]) =>
        [
          name,
          tensor.category === "input" && isFloat(tensor.dtype) ? { ...tensor, category: "parameter" } : tensor,
        ] as const,
    );
    const model: Graph = { ...graph, tensors: new Map(parameters) as Graph["tensors"] };
    const expected = trainedOf(model, "mse");
    if (expected.some((text) => /^x\d+ \[/.test(text))) trainable++;
    for (const precision of precisions)
      assert.deepEqual(trainedOf(model, "mse", precision), expected, `sample ${i}, ${sample.op}`);
  }
  assert.ok(trainable > 100, `${trainable} samples`);
});

const fixtures = readdirSync(at("fixtures")).filter((name) => name.endsWith(".onnx"));

for (const file of fixtures)
  test(`mixed precision trains the same parameters of ${file}`, () => {
    const { graph } = readModel(at("fixtures", file), {
      dims: /dynamic|dropout|resnet18/.test(file) ? { batch: 2 } : {},
      runtime,
    });
    const expected = trainedOf(graph, "mse");
    assert.ok(expected.length > 1, expected.join());
    for (const precision of precisions) assert.deepEqual(trainedOf(graph, "mse", precision), expected);
  });

test("mixed precision keeps what products made in 16 bits until something needs float32, as autocast does", () => {
  const forward = parseGraph(`graph net(float32[4,3,8,8] x, parameter float32[3,3,1,1] w, parameter float32[3] scale,
      parameter float32[3] shift, buffer float32[3] mean, buffer float32[3] variance, float32[4,3,8,8] given) => (y) {
      c = Conv(x, w)
      n, m2, v2, m, i = mutwo.BatchNormalization(c, scale, shift, mean, variance)
      r = Relu(n)
      half = Mul(r, float32[]{0.5})
      tiny = Mul(half, float32[]{1e-7})
      both = Add(tiny, given)
      own = Relu(given)
      c2 = Conv(half, w)
      s = Softmax(c2)
      sum = Add(s, both)
      y = Add(sum, own)
    }`);
  const { graph } = inPrecision(forward, "mixed:type=bfloat16");
  /** Types of the first input of the nodes of each op. */
  const reads = (op: string): (string | undefined)[] =>
    graph.nodes.filter((node) => node.op === op).map((node) => graph.tensors.get(node.inputs[0] ?? "")?.dtype);
  assert.deepEqual(reads("Conv"), ["bfloat16", "bfloat16"]);
  assert.deepEqual(reads("BatchNormalization"), ["bfloat16"]);
  // what the network is given was made in float32, and stays there; 1e-7 is no number of 16 bits
  assert.deepEqual(reads("Relu"), ["bfloat16", "float32"]);
  assert.deepEqual(reads("Mul"), ["bfloat16", "float32"]);
  assert.deepEqual(reads("Softmax"), ["float32"]);
  assert.equal(graph.tensors.get("scale")?.dtype, "float32");
  assert.equal(graph.tensors.get("y")?.dtype, "float32");
  // no cast that nothing reads: those of x, w twice at most, and of what float32 ops read
  const read = new Set([...graph.nodes.flatMap(({ inputs }) => inputs), ...graph.outputs]);
  for (const { op, outputs } of graph.nodes) if (op === "Cast") assert.ok(read.has(outputs[0] as string), outputs[0]);
});
