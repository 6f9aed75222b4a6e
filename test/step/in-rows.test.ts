import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { type Graph, tensorBytes, tensorOf } from "../../src/graph/graph.js";
import { savedActivations } from "../../src/memory/activations.js";
import { peakBytes } from "../../src/memory/liveness.js";
import { rewrite } from "../../src/plan/rewrite.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { fuse } from "../../src/step/fuse.js";
import { lower, lowerFor } from "../../src/step/lower.js";
import { type TrainingOptions, trainingStep } from "../../src/step/training.js";
import { fixtureStep } from "../problem.js";
import { outcome, relativeError, runSteps } from "../step.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

/** A model of 2 · 5 positions of width 4 and 6 classes that ends in these nodes. */
const model = (end: string, residents = "parameter float32[4,6] w"): Graph =>
  parseGraph(`graph head(float32[2,5,3] x, parameter float32[3,4] u, ${residents}) => (y) {
    g = MatMul(x, u)
    h = Tanh(g)
    ${end}
  }`);

const labels = [0, 5, 2, -100, 1, 4, 3, -100, 2, 0];

/** Loss and gradients of all parameters in a step. */
async function results(graph: Graph, options: Omit<TrainingOptions, "optimizer">): Promise<Record<string, number[]>> {
  const step = trainingStep(graph, { optimizer: "sgd", ...options });
  const names = [...step.tensors.values()].filter((t) => t.category === "parameter" && t.within).map((t) => t.name);
  const target = options.loss.includes("ignore_index") ? labels : labels.map((label) => Math.max(label, 0));
  const given = Object.fromEntries(
    step.inputs.filter((name) => name.startsWith("target")).map((name) => [name, target]),
  );
  const [made] = await runSteps(step, cpu, given, ["loss", ...names.map((name) => `${name}.grad`)]);
  return made as Record<string, number[]>;
}

const gemm = `flat = Reshape(h, int64[2]{10,4})
    y = Gemm<transB=1>(flat, w, bias)`;

const heads: readonly (readonly [what: string, end: string, residents?: string])[] = [
  ["a product", "y = MatMul(h, w)"],
  ["a bias", "p = MatMul(h, w)\n y = Add(bias, p)", "parameter float32[4,6] w, parameter float32[6] bias"],
  ["Gemm with a bias", gemm, "parameter float32[6,4] w, parameter float32[1,6] bias"],
  [
    "a reshape and a soft cap behind the product",
    `p = MatMul(h, w)
    flat = Reshape(p, int64[2]{10,6})
    s = Div(flat, float32[]{2})
    t = Tanh(s)
    y = Mul(t, scale)`,
    "parameter float32[4,6] w, parameter float32[1,6] scale",
  ],
  [
    "a weight that is used before too",
    "k = MatMul(h, w)\n r = Tanh(k)\n z = MatMul(r, v)\n y = MatMul(z, w)",
    "parameter float32[4,6] w, parameter float32[6,4] v",
  ],
  ["a transposed weight", "t = Transpose(w)\n y = MatMul(h, t)", "parameter float32[6,4] w"],
  ["what else reads the rows", "p = MatMul(h, w)\n y = Identity(p)\n other = Exp(h)"],
];

const settings = ["", ",ignore_index=-100", ",label_smoothing=0.2", ",ignore_index=-100,label_smoothing=0.1"];

for (const [what, end, residents] of heads)
  test(`ce:chunks gives loss and gradients but for the order of sums: ${what}`, async () => {
    for (const more of settings) {
      const options = { precision: "float64", accumulate: more ? 1 : 2 };
      const whole = await results(model(end, residents), { ...options, loss: `ce:chunks=1${more}` });
      for (const chunks of [2, 3, 10]) {
        const sliced = await results(model(end, residents), { ...options, loss: `ce:chunks=${chunks}${more}` });
        assert.deepEqual(Object.keys(sliced), Object.keys(whole));
        for (const [name, values] of Object.entries(whole)) {
          const error = relativeError(sliced[name] as number[], values);
          assert.ok(error < 1e-14, `${name}, ${chunks} chunks${more}: off by ${error}`);
        }
      }
    }
  });

test("ce:chunks in mixed precision adds the slices' weight gradients in float32", async () => {
  for (const precision of ["mixed", "mixed:type=bfloat16"]) {
    const graph = model("y = MatMul(h, w)");
    const whole = await results(graph, { precision, loss: "ce" });
    const sliced = await results(graph, { precision, loss: "ce:chunks=5" });
    for (const [name, values] of Object.entries(whole))
      assert.ok(relativeError(sliced[name] as number[], values) < 1e-2, `${precision} ${name}`);
    const step = trainingStep(graph, { precision, loss: "ce:chunks=5", optimizer: "sgd" });
    const sums = step.nodes.filter(
      ({ op, outputs }) => op === "Add" && tensorOf(step, outputs[0] as string).shape.join() === "4,6",
    );
    assert.equal(sums.length, 4);
    for (const { outputs } of sums) assert.equal(tensorOf(step, outputs[0] as string).dtype, "float32");
  }
});

/** 96 rows of 8 numbers, 500 classes: the scores are much larger than all else. */
const wide = parseGraph(`graph wide(float32[4,24,8] x, parameter float32[8,8] u, parameter float32[8,500] w) => (y) {
  h = MatMul(x, u)
  y = MatMul(h, w)
}`);

test("ce:chunks holds one slice of the scores and of their gradient at a time, on the CPU and fused", () => {
  const scores = tensorBytes(tensorOf(wide, "y"));
  for (const fuses of [false, true]) {
    const peak = (loss: string): number =>
      peakBytes(lowerFor({ fuses, hasKernel: cpu.hasKernel }, trainingStep(wide, { loss, optimizer: "sgd" })));
    const [whole, sliced] = [peak("ce"), peak("ce:chunks=8")];
    // an eighth of the scores, written over by their gradient, and a second gradient of the weight for the sum
    assert.ok(whole - sliced > 0.75 * scores, `${fuses ? "fused" : "plain"}: ${(whole - sliced) / scores}`);
  }
});

test("ce:chunks gives the same bits fused, and planned", async () => {
  const step = lower(trainingStep(wide, { loss: "ce:chunks=3", optimizer: "adam" }), cpu.hasKernel);
  const expected = await outcome(cpu, step);
  assert.deepEqual(await outcome(cpu, lower(fuse(step), cpu.hasKernel)), expected);
  const tiny = fixtureStep(cpu, "gpt2_tiny.dynamo.onnx", { loss: "ce:chunks=4", optimizer: "adam" });
  const decisions = [...savedActivations(tiny).values()].flatMap(({ name, fixed }) =>
    fixed ? [] : [{ activation: name, action: "recompute" as const }],
  );
  assert.deepEqual(await outcome(cpu, rewrite(tiny, decisions)), await outcome(cpu, tiny));
});

test("ce:chunks says in one line what cannot be sliced", () => {
  const refuse = (graph: Graph, loss: string, message: RegExp): void =>
    assert.throws(() => trainingStep(graph, { loss, optimizer: "sgd" }), message);
  const plain = model("y = MatMul(h, w)");
  const bad = (value: string): RegExp => new RegExp(`^Error: chunks of ce is not a positive whole number: ${value}$`);
  refuse(plain, "ce:chunks=0", bad("0"));
  refuse(plain, "ce:chunks=1.5", bad("1.5"));
  refuse(plain, "ce:chunks=-2", bad("-2"));
  refuse(plain, "ce:chunks=many", /^Error: setting chunks of ce is not a number: many$/);
  refuse(plain, "mse:chunks=2", /^Error: unknown setting of mse: chunks/);
  refuse(plain, "ce:chunks=11", /^Error: chunks of ce are more than the 10 rows of output y \[2,5,6\]: 11$/);
  refuse(
    plain,
    "ce:axis=1,chunks=2",
    /^Error: chunks of ce need the classes on the last axis of output y \[2,5,6\]: axis 1$/,
  );
  const between = (op: string): RegExp =>
    new RegExp(
      `^Error: chunks of the loss: ${op} is between the last matrix product and the loss \\(node y\\); each row must be made of one row`,
    );
  refuse(model("p = MatMul(h, w)\n y = Softmax<axis=1>(p)"), "ce:chunks=2", between("Softmax"));
  refuse(model("p = MatMul(h, w)\n q = MatMul(h, w)\n y = Add(p, q)"), "ce:chunks=2", between("Add"));
  refuse(
    model("p = MatMul(h, w)\n y = Mul(p, rows)", "parameter float32[4,6] w, float32[5,1] rows"),
    "ce:chunks=2",
    between("Mul"),
  );
  refuse(model("y = MatMul(h, w)", "parameter float32[2,4,6] w"), "ce:chunks=2", between("MatMul"));
  refuse(
    parseGraph("graph bare(float32[4,6] x, parameter float32[6] b) => (y) { y = Add(x, b) }"),
    "ce:chunks=2",
    /^Error: chunks of the loss: output y is made by no matrix product$/,
  );
});
