import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { after, test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { consumers, type Graph, isFloat, type Node, tensorOf } from "../../src/graph/graph.js";
import { valuesOf } from "../../src/graph/values.js";
import { readModel } from "../../src/model/read.js";
import { opOf } from "../../src/ops/index.js";
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

/** Types that the nodes of each op read first, in a model in bfloat16. */
function readTypes(text: string): (op: string) => (string | undefined)[] {
  const { graph } = inPrecision(parseGraph(text), "mixed:type=bfloat16");
  return (op) =>
    graph.nodes.filter((node) => node.op === op).map((node) => graph.tensors.get(node.inputs[0] ?? "")?.dtype);
}

test("mixed precision moves in 16 bits what was made in 16 bits, and computes with it in float32", () => {
  const reads = readTypes(`graph net(float32[4,6] x, parameter float32[6,8] w) => (y) {
    m = MatMul(x, w)
    a, b = Split<axis=1>(m, int64[2]{4,4})
    c = Gather<axis=0>(a, int64[2]{0,0})
    d = Slice(b, int64[1]{0}, int64[1]{2}, int64[1]{0})
    e = Expand(c, int64[3]{2,2,4})
    t = Transpose<perm=[0,2,1]>(e)
    q = MatMul(d, t)
    s = Sigmoid(d)
    z = Pad(q, int64[6]{0,0,0,0,0,1}, float32[]{0})
    n = Pad(q, int64[6]{0,0,0,0,0,1}, float32[]{0.1})
    u = Reshape(s, int64[3]{2,2,2})
    k = Concat<axis=2>(z, n)
    y = Concat<axis=2>(k, u)
  }`);
  for (const op of ["Split", "Gather", "Slice", "Expand", "Transpose"]) assert.deepEqual(reads(op), ["bfloat16"], op);
  // a sigmoid of what was moved is as exact as one of what was cast
  assert.deepEqual(reads("Sigmoid"), ["float32"]);
  // 0.1 is no number of 16 bits, and its kernel wants it on the host
  assert.deepEqual(reads("Pad"), ["bfloat16", "float32"]);
  assert.deepEqual(reads("Concat"), ["float32", "float32"]);
});

test("mixed precision casts before it moves what products alone read", () => {
  const reads = readTypes(`graph net(float32[4,6] x, parameter float32[8,6] w, parameter float32[6] scale,
      parameter float32[6] shift, parameter float32[5,6] v) => (m, y) {
    n = LayerNormalization(x, scale, shift)
    t = Transpose<perm=[1,0]>(w)
    r = Reshape(n, int64[3]{2,2,6})
    p = Transpose<perm=[1,0,2]>(r)
    m = MatMul(p, t)
    o = Transpose<perm=[1,0]>(v)
    e = Exp(o)
    f = MatMul(x, o)
    y = Concat<axis=0>(e, f)
  }`);
  assert.deepEqual(reads("Transpose"), ["bfloat16", "bfloat16", "float32"]);
  assert.deepEqual(reads("Reshape"), ["bfloat16"]);
  assert.deepEqual(reads("Exp"), ["float32"]);
});

test("mixed precision adds up the gradients of rows that are gathered twice in float32", () => {
  const model = parseGraph(`graph net(float32[4,6] x, parameter float32[6,8] w, int64[3] i) => (y) {
    m = MatMul(x, w)
    y = Gather<axis=0>(m, i)
  }`);
  const step = trainingStep(model, { loss: "mse", optimizer: "sgd", precision: "mixed:type=bfloat16" });
  const sums = step.nodes.filter(({ op }) => op === "ScatterND");
  assert.deepEqual(
    sums.map(({ inputs }) => tensorOf(step, inputs[0] as string).dtype),
    ["float32"],
  );
});

for (const file of fixtures)
  test(`mixed precision of ${file} moves nothing in float32 that is 16 bits before and behind`, () => {
    const { graph } = readModel(at("fixtures", file), {
      dims: /dynamic|dropout|resnet18/.test(file) ? { batch: 2 } : {},
      runtime,
    });
    const { graph: mixed } = inPrecision(graph, "mixed:type=bfloat16");
    const made = new Map(mixed.nodes.flatMap((node) => node.outputs.map((name) => [name, node])));
    const read = consumers(mixed);
    const isCast = (node: Node | undefined): boolean => node?.op === "Cast";
    for (const node of mixed.nodes) {
      const { in16Bits, rearranges } = opOf(node);
      const [x = ""] = node.inputs;
      if (!(in16Bits === "moves" || rearranges) || tensorOf(mixed, x).dtype !== "float32") continue;
      const isFrom16 = node.inputs.every((name) => {
        const maker = made.get(name);
        return isCast(maker) && tensorOf(mixed, maker?.inputs[0] as string).dtype === "bfloat16";
      });
      assert.ok(!isFrom16, `${node.name} moves what was 16 bits`);
      const readers = (read.get(node.outputs[0] as string) ?? []).map((rank) => mixed.nodes[rank]);
      if (rearranges) assert.ok(!readers.length || !readers.every(isCast), `${node.name} moves what becomes 16 bits`);
    }
  });
