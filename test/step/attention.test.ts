import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import type { Graph, Node } from "../../src/graph/graph.js";
import { valuesOf } from "../../src/graph/values.js";
import { readModel } from "../../src/model/read.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { fuseAttention } from "../../src/step/attention.js";
import { seededGraph } from "../../src/step/initial.js";
import { lower } from "../../src/step/lower.js";
import { type TrainingOptions, trainingStep } from "../../src/step/training.js";
import { at } from "../at.js";
import { addNormalized, buildSample, byOp, distance, graphOf, loaded } from "../sampled.js";
import { outcome } from "../step.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

const always = (): boolean => true;

const attentions = (graph: Graph): Node[] =>
  graph.nodes.filter(({ domain, op }) => domain === "mutwo" && op === "Attention");

/** The attentions of a forward graph whose parameters are all trained. */
function fused(graph: Graph): Node[] {
  const trained = [...graph.tensors.values()].filter(({ category }) => category === "parameter");
  return attentions(fuseAttention(graph, new Set(trained.map(({ name }) => name)), always));
}

const attributesOf = ({ attributes }: Node): Record<string, unknown> =>
  Object.fromEntries(Object.entries(attributes).map(([name, { value }]) => [name, value]));

/** softmax of scores of q, k, v: [2,3,4,8], 5 keys; `scores` makes p from s, further inputs may be declared. */
const written = (scores: string, more = ""): Graph =>
  parseGraph(`graph g(float32[2,3,4,8] q, float32[2,3,5,8] k, float32[2,3,5,8] v${more}) => (y) {
  t = Transpose<perm=[0,1,3,2]>(k)
  s = MatMul(q, t)
${scores}
  y = MatMul(p, v)
}`);

test("fuseAttention(graph) takes factors, masks and transposes in", () => {
  const [bare] = fused(written("p = Softmax<axis=-1>(s)")) as [Node];
  assert.deepEqual(attributesOf(bare), {
    scale: 1,
    sizes: [2, 3, 3, 4, 5, 8],
    q: [0, 96, 32, 8],
    k: [0, 120, 40, 8],
    v: [0, 120, 40, 8],
    position_axis: 2,
  });
  assert.deepEqual(bare.inputs, ["q", "k", "v"]);
  const [scaled] = fused(written("d = Div(s, float32[]{4})\np = Softmax<axis=3>(d)")) as [Node];
  assert.equal(attributesOf(scaled).scale, 0.25);
  const [added] = fused(written("a = Add(m, s)\np = Softmax<axis=-1>(a)", ", float32[2,1,1,5] m")) as [Node];
  assert.deepEqual(added.inputs, ["q", "k", "v", "m"]);
  const [chosen] = fused(written("a = Where(m, s, float32[]{-1e38})\np = Softmax<axis=-1>(a)", ", bool[4,5] m")) as [
    Node,
  ];
  assert.equal(chosen.inputs.length, 4);
  const guard = "r = Softmax<axis=-1>(s)\nn = IsNaN(r)\np = Where(n, float32[]{0}, r)";
  assert.equal(attributesOf(fused(written(guard))[0] as Node).zero_hidden, 1);
});

test("fuseAttention(graph) proves a triangle, whatever the number that is added to what is seen", () => {
  const triangle = "bool[4,5]{1,1,0,0,0, 1,1,1,0,0, 1,1,1,1,0, 1,1,1,1,1}";
  const made = `m = Where(${triangle}, z, float32[]{-1e38})\na = Add(s, m)\np = Softmax<axis=-1>(a)`;
  const [node] = fused(written(made, ", buffer float32[] z")) as [Node];
  assert.deepEqual([attributesOf(node).ahead, node.inputs.length], [1, 3]);
  const [turned] = fused(
    written(made.replace("z, float32[]{-1e38}", "float32[]{-1e38}, z"), ", buffer float32[] z"),
  ) as [Node];
  assert.deepEqual([attributesOf(turned).ahead, turned.inputs.length], [undefined, 4]);
  const [varied] = fused(written(made, ", buffer float32[5] z")) as [Node];
  assert.deepEqual([attributesOf(varied).ahead, varied.inputs.length], [undefined, 4]);
});

test("fuseAttention(graph) leaves what it would change", () => {
  const left: Readonly<Record<string, Graph>> = {
    "softmax over another axis": written("p = Softmax<axis=2>(s)"),
    "a trained mask": written("a = Add(s, m)\np = Softmax<axis=-1>(a)", ", parameter float32[1,3,4,5] m"),
    "a mask made of what is trained": written(
      "e = Exp(m)\na = Add(s, e)\np = Softmax<axis=-1>(a)",
      ", parameter float32[1,3,4,5] m",
    ),
    "a factor that is no constant": written("a = Mul(s, m)\np = Softmax<axis=-1>(a)", ", float32[] m"),
    "a negative factor": written("a = Mul(s, float32[]{-1})\np = Softmax<axis=-1>(a)"),
    "capped scores": written("c = Tanh(s)\np = Softmax<axis=-1>(c)"),
    "a mask before the factor": written(
      "a = Add(s, m)\nd = Div(a, float32[]{4})\np = Softmax<axis=-1>(d)",
      ", float32[2,1,1,5] m",
    ),
    "scores that are hidden by a small number": written(
      "a = Where(m, s, float32[]{-3})\np = Softmax<axis=-1>(a)",
      ", bool[4,5] m",
    ),
    "dropout inside": written("r = Softmax<axis=-1>(s)\np, d = Dropout(r, float32[]{0.1}, bool[]{1})"),
    "shares of a part": written("r = Softmax<axis=-1>(s)\np = Mul(r, m)", ", float32[2,3,4,5] m"),
  };
  for (const [what, graph] of Object.entries(left)) assert.equal(fused(graph).length, 0, what);
  const also = (name: string): Graph => {
    const graph = written("p = Softmax<axis=-1>(s)");
    return { ...graph, outputs: [...graph.outputs, name] };
  };
  for (const name of ["s", "p"]) assert.equal(fused(also(name)).length, 0, `${name} is an output too`);
  const twice = written("p = Softmax<axis=-1>(s)\nz = Exp(s)");
  assert.equal(fused({ ...twice, outputs: ["y", "z"] }).length, 0, "scores that something else reads");
});

test("fuseAttention(graph) leaves masks of scores in another order, and scores of rank 5", () => {
  const grouped =
    parseGraph(`graph g(float32[2,4,3,8] q, float32[2,2,5,8] k, float32[2,2,5,8] v, float32[2,2,6,5] m) => (y) {
  g = Reshape(q, int64[4]{2, 2, 6, 8})
  t = Transpose<perm=[0,1,3,2]>(k)
  s = MatMul(g, t)
  a = Add(s, m)
  b = Reshape(a, int64[4]{2, 4, 3, 5})
  p = Softmax<axis=-1>(b)
  c = Reshape(p, int64[4]{2, 2, 6, 5})
  y = MatMul(c, v)
}`);
  assert.equal(fused(grouped).length, 0);
  const windows =
    parseGraph(`graph g(float32[6,3,4,8] q, float32[6,3,4,8] k, float32[6,3,4,8] v, float32[3,1,4,4] m) => (y) {
  t = Transpose<perm=[0,1,3,2]>(k)
  s = MatMul(q, t)
  w = Reshape(s, int64[5]{2, 3, 3, 4, 4})
  a = Add(w, m)
  b = Reshape(a, int64[4]{6, 3, 4, 4})
  p = Softmax<axis=-1>(b)
  y = MatMul(p, v)
}`);
  assert.equal(fused(windows).length, 0);
  const joined = parseGraph(`graph g(float32[6,4,8] q, float32[6,5,8] k, float32[6,5,8] v, float32[2,1,4,5] m) => (y) {
  t = Transpose<perm=[0,2,1]>(k)
  s = MatMul(q, t)
  w = Reshape(s, int64[4]{2, 3, 4, 5})
  a = Add(w, m)
  b = Reshape(a, int64[3]{6, 4, 5})
  p = Softmax<axis=-1>(b)
  y = MatMul(p, v)
}`);
  assert.deepEqual(
    fused(joined).map(({ inputs }) => inputs.length),
    [4],
  );
});

test("fuseAttention(graph) asks whether there is a kernel", () => {
  const graph = written("p = Softmax<axis=-1>(s)");
  assert.equal(
    fuseAttention(graph, new Set(), () => false),
    graph,
  );
});

const sgd: TrainingOptions = { loss: "ce", optimizer: "sgd" };

/** Files with their number of attentions, the keys that a query sees, and the tensors that Q, K and V lie in. */
const models: readonly [file: string, count: number, ahead: number | undefined, tensors: number][] = [
  ["bert_tiny.ts", 2, undefined, 3],
  ["gpt2_tiny.dynamo", 2, 0, 1],
  ["vit_tiny.ts", 2, undefined, 3],
  // relative positions are trained
  ["swin.ts", 0, undefined, 0],
];

/** Whether Q, K, V and Y lie as they were made: heads side by side behind each position. */
const isAsMade = (node: Node): boolean => {
  const { q, k, v, sizes, position_axis } = attributesOf(node) as Record<string, number[]>;
  return [q, k, v].every((view) => view?.[2] === sizes?.[5]) && Number(position_axis) === 1;
};

const stepOf = (file: string, options: TrainingOptions, isFused: boolean): Graph => {
  const { graph } = readModel(at("fixtures", `${file}.onnx`), { runtime: cpu });
  const step = trainingStep(graph, options, (model, trained) =>
    isFused ? fuseAttention(model, trained, always) : model,
  );
  return seededGraph(step, 0);
};

for (const [file, count, ahead, tensors] of models)
  test(`fuseAttention(${file}) finds ${count}, and gives the same loss and gradients within rounding`, async () => {
    const step = stepOf(file, sgd, true);
    const found = attentions(step);
    assert.equal(found.length, count);
    for (const node of found) {
      assert.equal(attributesOf(node).ahead, ahead);
      assert.equal(node.inputs.length, 3);
      assert.equal(new Set(node.inputs).size, tensors);
      assert.ok(isAsMade(node));
    }
    const [expected, actual] = [
      await outcome(cpu, lower(stepOf(file, sgd, false), cpu.hasKernel)),
      await outcome(cpu, lower(step, cpu.hasKernel)),
    ];
    for (const [name, bytes] of expected) {
      const [values, others] = [bytes, actual.get(name) as Uint8Array].map((one) => valuesOf("float32", one)) as [
        number[],
        number[],
      ];
      const largest = Math.max(...values.map(Math.abs));
      const worst = Math.max(...values.map((x, i) => Math.abs(x - (others[i] as number))));
      assert.ok(worst <= 2e-5 * Math.max(largest, 1e-3), `${name}: ${worst} of ${largest}`);
    }
  });

test("fuseAttention(in bfloat16) reads Q, K and V as they lie, in 16 bits", () => {
  for (const file of ["bert_tiny.ts", "gpt2_tiny.dynamo", "vit_tiny.ts"]) {
    const step = stepOf(file, { ...sgd, precision: "mixed:type=bfloat16" }, true);
    for (const node of attentions(step)) {
      assert.ok(isAsMade(node), file);
      for (const name of node.inputs) assert.equal(step.tensors.get(name)?.dtype, "bfloat16");
    }
    assert.equal(attentions(step).length, 2);
  }
});

/** Samples of attention ops that stay as they are: softcaps, sinks, values of another width, shares that are read. */
const leftSamples: Readonly<Record<string, readonly number[]>> = {
  Attention: [2, 3, 4, 5],
  "com.microsoft:Attention": [12],
  "com.microsoft:MultiHeadAttention": [1, 9],
  "com.microsoft:GroupQueryAttention": [1, 3, 4, 5],
};

for (const [op, left] of Object.entries(leftSamples))
  test(`fuseAttention(${op} as it is written out) gives the same within rounding`, async () => {
    for (const [i, sample] of (byOp.get(op) ?? []).entries()) {
      const { b, node, values } = buildSample(sample, "float32");
      const made = addNormalized(b, node, sample);
      const graph = graphOf(b, [...new Set(made.filter((name) => name && b.producer(name)))]);
      const written = fuseAttention(graph, new Set(), always);
      assert.equal(attentions(written).length, left.includes(i) ? 0 : 1, `${op}, sample ${i}`);
      const run = async (one: Graph): Promise<Map<string, number[]>> => {
        const step = loaded(lower(one, cpu.hasKernel), cpu);
        const results = await step.run(values);
        step.close();
        return results;
      };
      const [expected, actual] = [await run(graph), await run(written)];
      for (const name of graph.outputs)
        assert.ok(distance(expected.get(name) ?? [], actual.get(name) ?? []) < 1e-5, `${op}, sample ${i}: ${name}`);
    }
  });

/** How exporters write attentions of 2 batches, 5 positions and 4 heads of 8 whose operands one product makes. */
const joinedForms: Readonly<
  Record<string, { readonly inputs: string; readonly body: string; readonly tensors: number }>
> = {
  "torchvision's MultiheadAttention": {
    inputs: "parameter float32[2,5,32] x, parameter float32[32,96] w",
    tensors: 1,
    body: `  t = Transpose<perm=[1,0,2]>(x)
  m = MatMul(t, w)
  r = Reshape(m, int64[4]{5,2,3,32})
  u = Unsqueeze(r, int64[1]{0})
  z = Transpose<perm=[3,1,2,0,4]>(u)
  s = Squeeze(z, int64[1]{3})
${["q", "k", "v"]
  .map(
    (name, i) => `  ${name}g = Gather<axis=0>(s, int64[]{${i}})
  ${name}r = Reshape(${name}g, int64[3]{5,8,8})
  ${name}h = Transpose<perm=[1,0,2]>(${name}r)
  ${name} = Reshape(${name}h, int64[4]{2,4,5,8})`,
  )
  .join("\n")}
  qs = Mul(q, float32[]{0.5})
  kt = Transpose<perm=[0,1,3,2]>(k)
  ks = Mul(kt, float32[]{0.5})
  a = MatMul(qs, ks)
  p = Softmax<axis=-1>(a)
  o = MatMul(p, v)
  y = Transpose<perm=[2,0,1,3]>(o)`,
  },
  "MultiheadAttention of batches and heads as one axis, with a mask": {
    inputs: "parameter float32[5,2,32] x, parameter float32[32,96] w, float32[8,1,5] mask",
    tensors: 1,
    body: `  m = MatMul(x, w)
  qp, kp, vp = Split<axis=-1>(m, int64[3]{32,32,32})
${["q", "k", "v"].map((name) => `  ${name}r = Reshape(${name}p, int64[3]{5,8,8})\n  ${name} = Transpose<perm=[1,0,2]>(${name}r)`).join("\n")}
  kt = Transpose<perm=[0,2,1]>(k)
  a = MatMul(q, kt)
  b = Add(a, mask)
  p = Softmax<axis=-1>(b)
  o = MatMul(p, v)
  y = Transpose<perm=[1,0,2]>(o)`,
  },
  "timm's attention": {
    inputs: "parameter float32[2,5,32] x, parameter float32[32,96] w",
    tensors: 1,
    body: `  m = MatMul(x, w)
  r = Reshape(m, int64[5]{2,5,3,4,8})
  z = Transpose<perm=[2,0,3,1,4]>(r)
  q = Gather<axis=0>(z, int64[]{0})
  k = Gather<axis=0>(z, int64[]{1})
  v = Gather<axis=0>(z, int64[]{2})
  kt = Transpose<perm=[0,1,3,2]>(k)
  a = MatMul(q, kt)
  p = Softmax<axis=-1>(a)
  o = MatMul(p, v)
  y = Transpose<perm=[0,2,1,3]>(o)`,
  },
  "parts of each head, as GPT-NeoX has them": {
    inputs: "parameter float32[2,5,32] x, parameter float32[32,96] w",
    tensors: 1,
    body: `  m = MatMul(x, w)
  r = Reshape(m, int64[4]{2,5,4,24})
  z = Transpose<perm=[0,2,1,3]>(r)
  q, k, v = Split<axis=-1>(z, int64[3]{8,8,8})
  kt = Transpose<perm=[0,1,3,2]>(k)
  a = MatMul(q, kt)
  p = Softmax<axis=-1>(a)
  y = MatMul(p, v)`,
  },
  "fewer heads of keys and values behind those of queries": {
    inputs: "parameter float32[2,5,32] x, parameter float32[32,64] w",
    tensors: 1,
    body: `  m = MatMul(x, w)
  qp = Slice(m, int64[1]{0}, int64[1]{32}, int64[1]{2})
  kp = Slice(m, int64[1]{32}, int64[1]{48}, int64[1]{2})
  vp = Slice(m, int64[1]{48}, int64[1]{64}, int64[1]{2})
  qr = Reshape(qp, int64[4]{2,5,4,8})
  q = Transpose<perm=[0,2,1,3]>(qr)
${["k", "v"]
  .map(
    (name) => `  ${name}r = Reshape(${name}p, int64[4]{2,5,2,8})
  ${name}h = Transpose<perm=[0,2,1,3]>(${name}r)
  ${name}u = Reshape(${name}h, int64[5]{2,2,1,5,8})
  ${name}e = Expand(${name}u, int64[5]{2,2,2,5,8})
  ${name} = Reshape(${name}e, int64[4]{2,4,5,8})`,
  )
  .join("\n")}
  kt = Transpose<perm=[0,1,3,2]>(k)
  a = MatMul(q, kt)
  p = Softmax<axis=-1>(a)
  o = MatMul(p, v)
  y = Transpose<perm=[0,2,1,3]>(o)`,
  },
  "keys and values of one product, queries of another tensor": {
    inputs: "parameter float32[2,3,32] x, parameter float32[2,5,32] w, parameter float32[32,64] kv",
    tensors: 2,
    body: `  m = MatMul(w, kv)
  kp, vp = Split<axis=-1>(m, int64[2]{32,32})
  qr = Reshape(x, int64[4]{2,3,4,8})
  q = Transpose<perm=[0,2,1,3]>(qr)
  kr = Reshape(kp, int64[4]{2,5,4,8})
  kt = Transpose<perm=[0,2,3,1]>(kr)
  vr = Reshape(vp, int64[4]{2,5,4,8})
  v = Transpose<perm=[0,2,1,3]>(vr)
  a = MatMul(q, kt)
  p = Softmax<axis=-1>(a)
  y = MatMul(p, v)`,
  },
  "one tensor for all three": {
    inputs: "parameter float32[2,4,5,8] x, parameter float32[8] w",
    tensors: 3,
    body: `  m = Mul(x, w)
  kt = Transpose<perm=[0,1,3,2]>(m)
  a = MatMul(m, kt)
  p = Softmax<axis=-1>(a)
  y = MatMul(p, m)`,
  },
  "a part that nothing reads": {
    inputs: "parameter float32[2,5,32] x, parameter float32[32,128] w",
    tensors: 3,
    body: `  m = MatMul(x, w)
  qp, kp, vp, rest = Split<axis=-1>(m, int64[4]{32,32,32,32})
${["q", "k", "v"].map((name) => `  ${name}r = Reshape(${name}p, int64[4]{2,5,4,8})\n  ${name} = Transpose<perm=[0,2,1,3]>(${name}r)`).join("\n")}
  kt = Transpose<perm=[0,1,3,2]>(k)
  a = MatMul(q, kt)
  p = Softmax<axis=-1>(a)
  y = MatMul(p, v)`,
  },
};

for (const [form, { inputs, body, tensors }] of Object.entries(joinedForms))
  test(`fuseAttention(${form}) reads operands where they lie, and gives the same within rounding`, async () => {
    const model = parseGraph(`graph g(${inputs}) => (y) {\n${body}\n}`);
    const step = (isFused: boolean): Graph =>
      trainingStep(model, { loss: "mse", optimizer: "sgd" }, (one, trained) =>
        isFused ? fuseAttention(one, trained, always) : one,
      );
    const fused = step(true);
    const [node] = attentions(fused) as [Node];
    assert.equal(attentions(fused).length, 1);
    assert.equal(new Set(node.inputs.slice(0, 3)).size, tensors);
    const moving = fused.nodes.filter(({ op }) => ["Gather", "Split", "Slice", "Concat", "Pad"].includes(op));
    if (tensors < 3) assert.deepEqual(moving, []);
    const [expected, actual] = [
      await outcome(cpu, lower(step(false), cpu.hasKernel)),
      await outcome(cpu, lower(fused, cpu.hasKernel)),
    ];
    for (const [name, bytes] of expected) {
      const [values, others] = [bytes, actual.get(name) as Uint8Array].map((one) => valuesOf("float32", one));
      assert.ok(distance([...(values ?? [])], [...(others ?? [])]) < 1e-5, name);
    }
  });
