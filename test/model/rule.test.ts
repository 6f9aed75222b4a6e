import assert from "node:assert/strict";
import { test } from "node:test";
import { type Attribute, elementCount, int } from "../../src/graph/graph.js";
import { bytesOf } from "../../src/graph/values.js";
import type { Model, ModelNode, ModelValue } from "../../src/model/model.js";
import { roles } from "../../src/model/roles.js";
import { randoms } from "../sampled.js";
import { modelNode } from "./model-node.js";
import { modelOf as model } from "./model-of.js";

/** Values of a held tensor: as they are, or random. */
type Values = readonly [shape: readonly number[], values?: readonly number[]];

interface Case {
  readonly title: string;
  readonly producer?: string;
  /** `y = Op(a, b)`, or with an output that has no name of its own in the text. */
  readonly nodes: readonly string[];
  readonly attributes?: Readonly<Record<string, Readonly<Record<string, Attribute>>>>;
  readonly initializers?: Readonly<Record<string, Values>>;
  readonly constants?: Readonly<Record<string, Values>>;
  readonly inputs?: readonly ModelValue[];
  readonly trained: readonly string[];
  /** What is not, with the start of the reason. */
  readonly untrained?: Readonly<Record<string, string>>;
}

const tensorOf = ([shape, values]: Values, seed: number) => {
  const random = randoms(seed);
  const data = values ?? Array.from({ length: elementCount(shape) }, () => random() - 0.5);
  return { dtype: "float32" as const, shape, data: bytesOf("float32", data) };
};

const nodeOf = (text: string, attributes: Case["attributes"] = {}): ModelNode => {
  const node = modelNode(text);
  return { ...node, name: `node of ${node.name}`, attributes: attributes[node.name] ?? {} };
};

const x: ModelValue = { name: "x", dtype: "float32", dims: ["batch", 8] };

const modelOf = (one: Case): Model => {
  const constants = Object.entries(one.constants ?? {}).map(([name, of], i): ModelNode => {
    const attributes = { value: { type: "tensor", value: tensorOf(of, i + 100) } } as const;
    return { name: `constant ${name}`, domain: "", op: "Constant", inputs: [], outputs: [name], attributes };
  });
  const initializers = Object.entries(one.initializers ?? {}).map(
    ([name, of], i) => [name, tensorOf(of, i + 1)] as const,
  );
  return model([...constants, ...one.nodes.map((text) => nodeOf(text, one.attributes))], {
    producer: one.producer ?? "",
    inputs: one.inputs ?? [x],
    outputs: [{ name: "y", dtype: "float32", dims: [] }],
    initializers: new Map(initializers),
  });
};

const count = (n: number, of: (i: number) => number): number[] => Array.from({ length: n }, (_, i) => of(i));

const cases: readonly Case[] = [
  {
    title: "jax2onnx calls all of them const_N, epsilon and scale of a norm among them",
    producer: "jax2onnx",
    nodes: [
      "h = MatMul(x, const_0)",
      "b = Reshape(const_1, shape)",
      "a = Add(h, b)",
      "v = Add(a, const_2)",
      "s = Mul(v, const_3)",
      "y = MatMul(s, const_4)",
    ],
    initializers: {
      const_0: [[8, 6]],
      const_1: [[6], count(6, () => 0)],
      const_2: [[], [1e-5]],
      const_3: [[6], count(6, () => 1)],
      const_4: [[6, 4]],
      shape: [[2], [1, 6]],
    },
    trained: ["const_0", "const_1", "const_3", "const_4"],
    untrained: { const_2: "a single number", shape: "a setting of Reshape" },
  },
  {
    title: "tf2onnx folds and transposes kernels under names of its own, and writes scalars as initializers",
    producer: "tf2onnx 1.16",
    nodes: [
      "r = Mul(x, rescaling/Cast/x:0)",
      "h = MatMul(r, const_fold_opt__21)",
      "a = Add(h, dense/BiasAdd/ReadVariableOp:0)",
      "l = Max(a, alpha)",
      "y = MatMul(l, const_fold_opt__7)",
    ],
    initializers: {
      "rescaling/Cast/x:0": [[], [1 / 255]],
      const_fold_opt__21: [[8, 6]],
      "dense/BiasAdd/ReadVariableOp:0": [[6]],
      alpha: [[6]],
      const_fold_opt__7: [[6, 1]],
    },
    trained: ["const_fold_opt__21", "dense/BiasAdd/ReadVariableOp:0", "const_fold_opt__7"],
    untrained: { "rescaling/Cast/x:0": "a single number", alpha: "a setting of Max" },
  },
  {
    title: "paddle2onnx writes weights and scalars alike as Constant nodes",
    producer: "PaddlePaddle",
    nodes: ["h = MatMul(x, fc_0.w_0)", "a = Add(h, fc_0.b_0)", "s = Mul(a, scale)", "y = PRelu(s, slope)"],
    constants: { "fc_0.w_0": [[8, 6]], "fc_0.b_0": [[6]], scale: [[1], [0.5]], slope: [[1], [0.25]] },
    trained: ["fc_0.w_0", "fc_0.b_0", "slope"],
    untrained: { scale: "a single number" },
  },
  {
    title: "an initial state of one value is an exporter's, one of different numbers was learned",
    nodes: ["y = GRU(x, w, r, , , zeros)", "z = GRU(x, w, r, , , learned)"],
    initializers: { w: [[1, 12, 8]], r: [[1, 12, 4]], zeros: [[1, 2, 4], count(8, () => 0)], learned: [[1, 2, 4]] },
    trained: ["w", "r", "learned"],
    untrained: { zeros: "initial state of GRU" },
  },
  {
    title: "a bias of one output is a weight, a number of that shape behind more outputs is not",
    nodes: ["h = MatMul(x, w)", "o = Add(h, one)", "l = MatMul(o, head)", "y = Add(l, bias)"],
    initializers: { w: [[8, 6]], one: [[1], [1]], head: [[6, 1]], bias: [[1], [0.3]] },
    trained: ["w", "head", "bias"],
    untrained: { one: "a single number" },
  },
  {
    title: "PyTorch's literals are Constant nodes, its parameters initializers under the modules' names",
    producer: "pytorch 2.9",
    nodes: [
      "h = MatMul(x, onnx::MatMul_12)",
      "a = Add(h, /Constant_output_0)",
      "e = Exp(logit_scale)",
      "y = Mul(a, e)",
    ],
    initializers: { "onnx::MatMul_12": [[8, 6]], logit_scale: [[], [2.6]] },
    constants: { "/Constant_output_0": [[6]] },
    trained: ["onnx::MatMul_12", "logit_scale"],
    untrained: { "/Constant_output_0": "a literal in the PyTorch model's code" },
  },
  {
    title: "mean and deviation of the data standardise the input, also as a factor",
    nodes: ["c = Sub(x, mean)", "d = Div(c, deviation)", "e = Mul(d, factor)", "h = MatMul(e, w)", "y = Sub(h, b)"],
    initializers: { mean: [[8]], deviation: [[8]], factor: [[8]], w: [[8, 6]], b: [[6]] },
    trained: ["w", "b"],
    untrained: {
      mean: "standardises the model's input",
      deviation: "standardises the model's input",
      factor: "standardises the model's input",
    },
  },
  {
    title:
      "an input of bytes, and one whose channels are turned round, are standardised too; one with a weight beside is not",
    inputs: [
      { name: "bytes", dtype: "uint8", dims: ["batch", 3] },
      { name: "x", dtype: "float32", dims: ["batch", 3] },
    ],
    nodes: [
      "f = Cast(bytes)",
      "c = Sub(f, mean)",
      "d = Div(c, deviation)",
      "t = Concat(d, x)",
      "s = Sub(t, mean6)",
      "j = Concat(s, token)",
      "k = Sub(j, shift)",
      "y = MatMul(k, w)",
    ],
    attributes: { f: { to: int(1) }, t: { axis: int(1) }, j: { axis: int(1) } },
    initializers: { mean: [[3]], deviation: [[3]], mean6: [[6]], token: [[1, 2]], shift: [[8]], w: [[8, 6]] },
    trained: ["token", "shift", "w"],
    untrained: {
      mean: "standardises the model's input",
      deviation: "standardises the model's input",
      mean6: "standardises the model's input",
    },
  },
  {
    title: "images that are resized first are standardised too",
    inputs: [{ name: "x", dtype: "uint8", dims: ["batch", 3, "height", "width"] }],
    nodes: [
      "f = Cast(x)",
      "z = Resize(f, none, scales)",
      "u = Mul(z, byte)",
      "c = Sub(u, mean)",
      "d = Div(c, deviation)",
      "y = Conv(d, w)",
    ],
    attributes: { f: { to: int(1) } },
    initializers: {
      none: [[0], []],
      scales: [[4], [1, 1, 0.5, 0.5]],
      byte: [[], [1 / 255]],
      mean: [
        [1, 3, 1, 1],
        [0.485, 0.456, 0.406],
      ],
      deviation: [
        [1, 3, 1, 1],
        [0.229, 0.224, 0.225],
      ],
      w: [[4, 3, 3, 3]],
    },
    trained: ["w"],
    untrained: {
      none: "a setting",
      scales: "a setting",
      byte: "a single number",
      mean: "standardises",
      deviation: "standardises",
    },
  },
  {
    title: "the bias of a product with a vector is one number",
    nodes: ["h = MatMul(x, w)", "y = Add(h, b)"],
    initializers: { w: [[8]], b: [[1]] },
    trained: ["w", "b"],
  },
  {
    title: "masks are told by their values, whatever they are called",
    nodes: ["h = MatMul(x, w)", "s = Mul(h, keep)", "q = Softmax(s)", "a = Add(q, window)", "y = Add(a, free)"],
    initializers: {
      w: [[8, 6]],
      keep: [[6], [1, 0, 1, 1, 0, 1]],
      window: [[6], [0, 0, -1e9, -1e9, 0, 0]],
      free: [[6]],
    },
    trained: ["w", "free"],
    untrained: { keep: "a mask, by its values", window: "a mask, by its values" },
  },
  {
    title: "ramps, frequencies and tables of sines are told by their values; weights of even values are not",
    nodes: [
      "h = MatMul(x, w)",
      "p = Relu(h)",
      "q = Add(p, ramp)",
      "r = Mul(q, powers)",
      "t = Gather(sines, ids)",
      "s = Add(r, t)",
      "u = Gather(table, ids)",
      "y = Add(s, u)",
    ],
    inputs: [x, { name: "ids", dtype: "int64", dims: ["batch"] }],
    initializers: {
      w: [[8, 6], count(48, (i) => i)],
      ramp: [[8, 6], count(48, (i) => Math.floor(i / 6) / 5)],
      powers: [[6], count(6, (i) => 10_000 ** (-i / 6))],
      sines: [[9, 6], count(54, (i) => Math.sin(Math.floor(i / 6) * 0.5 ** (i % 6)))],
      table: [[9, 6], count(54, (i) => i)],
    },
    trained: ["w", "table"],
    untrained: { ramp: "positions", powers: "positions", sines: "positions" },
  },
  {
    title: "frequencies that a product multiplies with positions",
    nodes: ["f = Cast(ids)", "a = MatMul(f, frequencies)", "c = Cos(a)", "h = MatMul(x, w)", "y = Mul(h, c)"],
    attributes: { f: { to: int(1) } },
    inputs: [x, { name: "ids", dtype: "int64", dims: ["batch", 1] }],
    initializers: { frequencies: [[1, 8], count(8, (i) => 100 ** (-i / 8))], w: [[8, 8]] },
    trained: ["w"],
    untrained: { frequencies: "frequencies" },
  },
  {
    title: "statistics of a norm, filling, and what has no gradient",
    nodes: [
      "n = BatchNormalization(x, scale, shift, mean, variance)",
      "j = Concat(n, zeros)",
      "g = Greater(j, limits)",
      "f = Cast(g)",
      "y = Mul(j, f)",
    ],
    attributes: { j: { axis: int(1) }, f: { to: int(1) } },
    initializers: {
      scale: [[8]],
      shift: [[8]],
      mean: [[8]],
      variance: [[8], count(8, () => 1)],
      zeros: [[4, 2], count(8, () => 0)],
      limits: [[10]],
      nobody: [[3]],
    },
    trained: ["scale", "shift"],
    untrained: {
      mean: "running statistics of BatchNormalization",
      variance: "running statistics",
      zeros: "filling of one value",
      limits: "no gradient passes Greater",
      nobody: "no node reads it",
    },
  },
  {
    title: "a file without weights has them as inputs, also before the data, and constants do not hide that",
    nodes: ["h = MatMul(x, w)", "p = Relu(h)", "a = Add(p, ramp)", "y = Add(a, b)"],
    inputs: [{ name: "w", dtype: "float32", dims: [8, 6] }, x, { name: "b", dtype: "float32", dims: [6] }],
    initializers: { ramp: [[8, 1], count(8, (i) => i)] },
    trained: ["w", "b"],
    untrained: { ramp: "positions" },
  },
  {
    title: "an input with a default is a weight like any other, one without stays data where the file has weights",
    nodes: ["h = MatMul(x, w)", "a = Mul(h, other)", "y = LayerNormalization(a, gamma)"],
    inputs: [
      x,
      { name: "w", dtype: "float32", dims: [8, 6] },
      { name: "other", dtype: "float32", dims: [4, 6] },
      { name: "gamma", dtype: "float32", dims: [6] },
    ],
    initializers: { w: [[8, 6]] },
    trained: ["w", "gamma"],
  },
  {
    title: "a norm written out: what goes through a root into a divisor, and what is subtracted before it",
    nodes: [
      "h = MatMul(x, w)",
      "c = Sub(h, m)",
      "v2 = Add(v, epsilon)",
      "r = Sqrt(v2)",
      "i = Reciprocal(r)",
      "n = Mul(c, i)",
      "s = Mul(n, gamma)",
      "y = Add(s, beta)",
    ],
    initializers: {
      w: [[8, 8]],
      m: [[8]],
      v: [[8], count(8, () => 1)],
      epsilon: [[], [1e-3]],
      gamma: [[8], count(8, (i) => i / 7)],
      beta: [[8], count(8, (i) => i)],
    },
    trained: ["w", "gamma", "beta"],
    untrained: { m: "statistics of a norm", v: "statistics of a norm", epsilon: "a single number" },
  },
  {
    title: "the same as Keras and TensorFlow write it, x·k + (beta − mean·k), statistics reshaped",
    nodes: [
      "h = Relu(x)",
      "mr = Reshape(m, shape)",
      "vr = Unsqueeze(v)",
      "v2 = Add(epsilon, vr)",
      "i = Pow(v2, exponent)",
      "k = Mul(gamma, i)",
      "mk = Mul(mr, k)",
      "b = Sub(beta, mk)",
      "p = Mul(k, h)",
      "q = Add(b, p)",
      "y = MatMul(q, w)",
    ],
    initializers: {
      m: [[8]],
      v: [[8]],
      epsilon: [[1], [1e-3]],
      exponent: [[], [-0.5]],
      gamma: [[8]],
      beta: [[8]],
      w: [[8, 8]],
    },
    trained: ["w", "gamma", "beta"],
    untrained: { m: "statistics of a norm", v: "statistics of a norm", epsilon: "a single", exponent: "a single" },
  },
  {
    title: "the same as JAX writes it, −mean·k added, without a scale, and a deviation that divides",
    nodes: [
      "h = Relu(x)",
      "v2 = Max(v, epsilon)",
      "r = Sqrt(v2)",
      "k = Div(one, r)",
      "n = Neg(m)",
      "nk = Mul(n, k)",
      "b = Add(nk, beta)",
      "p = Mul(h, k)",
      "q = Add(p, b)",
      "t = Relu(q)",
      "c = Sub(t, mean)",
      "z = Div(c, deviation)",
      "s = Mul(z, gamma)",
      "y = Add(s, shift)",
    ],
    initializers: {
      m: [[8]],
      v: [[8]],
      epsilon: [[], [1e-3]],
      one: [[], [1]],
      beta: [[8]],
      mean: [[8]],
      deviation: [[8]],
      gamma: [[8]],
      shift: [[8]],
    },
    trained: ["beta", "gamma", "shift"],
    untrained: {
      m: "statistics of a norm",
      v: "a setting of Max",
      mean: "statistics of a norm",
      deviation: "statistics of a norm",
      epsilon: "a single",
      one: "a single",
    },
  },
  {
    title: "the same with its root folded: a mean before a factor and a shift, the first of two factors",
    nodes: [
      "h = MatMul(x, w)",
      "c = Sub(h, m)",
      "k = Mul(c, scale)",
      "a = Add(k, beta)",
      "t = Relu(a)",
      "d = Sub(t, m2)",
      "e = Mul(d, inverse)",
      "f = Mul(e, gamma)",
      "y = Add(f, beta2)",
    ],
    initializers: {
      w: [[8, 8]],
      m: [[8]],
      scale: [[8], count(8, (i) => 1 + i)],
      beta: [[8], count(8, (i) => i)],
      m2: [[8]],
      inverse: [[8]],
      gamma: [[8]],
      beta2: [[8]],
    },
    trained: ["w", "scale", "beta", "gamma", "beta2"],
    untrained: { m: "statistics", m2: "statistics", inverse: "statistics" },
  },
  {
    title: "what a norm of the data, weight normalisation, radial bases and learned shifts hold is no statistic",
    nodes: [
      "h = MatMul(x, w)",
      "a = Add(h, bias)",
      "b = Mul(a, scale)",
      "c = Add(b, shift)",
      "g = Sub(c, centres)",
      "o = Div(g, widths)",
      "u = Mul(o, o)",
      "vv = Mul(v, v)",
      "vs = ReduceSum(vv)",
      "vn = Sqrt(vs)",
      "vd = Div(v, vn)",
      "z = MatMul(u, vd)",
      "e = Sub(z, other)",
      "mean = ReduceMean(e)",
      "l = Sub(e, mean)",
      "y = Mul(l, gain)",
    ],
    initializers: {
      w: [[8, 8]],
      bias: [[8]],
      scale: [[8]],
      shift: [[8]],
      centres: [[8]],
      widths: [[8]],
      v: [[8, 8]],
      other: [[8]],
      gain: [[8]],
    },
    trained: ["w", "bias", "scale", "shift", "centres", "widths", "v", "other", "gain"],
  },
  {
    title: "a bias of zeros and ones, scale and shift of a norm of the data whatever they hold",
    nodes: [
      "h = MatMul(x, w)",
      "a = Add(h, forget)",
      "m = ReduceMean(a)",
      "c = Sub(a, m)",
      "q = Mul(c, c)",
      "v = ReduceMean(q)",
      "v2 = Add(v, epsilon)",
      "r = Sqrt(v2)",
      "n = Div(c, r)",
      "s = Mul(n, gamma)",
      "y = Add(s, beta)",
    ],
    initializers: {
      w: [[8, 8]],
      forget: [[8], [0, 0, 1, 1, 0, 0, 0, 0]],
      epsilon: [[], [1e-5]],
      gamma: [[8], count(8, (i) => 1 + i)],
      beta: [[8], count(8, (i) => i)],
    },
    trained: ["w", "forget", "gamma", "beta"],
    untrained: { epsilon: "a single" },
  },
  {
    title: "grids, anchors and tables of sines that are added to what a product made; learned tables stay",
    nodes: [
      "h = MatMul(x, w)",
      "a = Add(h, learned)",
      "b = Add(a, sines)",
      "c = Sub(b, grid)",
      "d = Concat(c, coordinates)",
      "y = MatMul(d, w2)",
    ],
    initializers: {
      w: [[8, 2]],
      learned: [[49, 2]],
      sines: [
        [49, 8],
        count(392, (i) => (i % 2 ? Math.cos : Math.sin)(Math.floor(i / 8) * 0.3 ** Math.floor((i % 8) / 2))),
      ],
      grid: [[49, 2], count(98, (i) => (i % 2 ? Math.floor(i / 14) : Math.floor(i / 2) % 7))],
      coordinates: [[49, 2], count(98, (i) => (i % 2 ? Math.floor(i / 14) : Math.floor(i / 2) % 7) / 3 - 1)],
      w2: [[12, 2]],
    },
    trained: ["w", "learned", "w2"],
    untrained: { sines: "positions", grid: "positions", coordinates: "positions" },
  },
  {
    title: "statistics that are graph inputs, as the weights are",
    nodes: ["h = MatMul(x, w)", "c = Sub(h, m)", "r = Sqrt(v)", "n = Div(c, r)", "y = Mul(n, gamma)"],
    inputs: [
      x,
      ...["m", "v", "gamma"].map((name): ModelValue => ({ name, dtype: "float32", dims: [8] })),
      { name: "w", dtype: "float32", dims: [8, 8] },
    ],
    trained: ["w", "gamma"],
  },
];

for (const one of cases)
  test(`roles(model): ${one.title}`, () => {
    const { parameters, untrained } = roles(modelOf(one));
    assert.deepEqual([...parameters].sort(), [...one.trained].sort());
    const wanted = Object.entries(one.untrained ?? {}).filter(([name]) => name !== "shape");
    const found = new Map(untrained.map(({ name, reason }) => [name, reason]));
    assert.deepEqual([...found.keys()].filter((name) => name !== "shape").sort(), wanted.map(([name]) => name).sort());
    for (const [name, reason] of wanted) assert.ok(found.get(name)?.startsWith(reason), `${name}: ${found.get(name)}`);
  });
