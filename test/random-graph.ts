import { Builder } from "../src/build/build.js";
import { type Attributes, elementCount, float, type Graph, int, ints, text } from "../src/graph/graph.js";
import { randomFrom } from "../src/graph/random.js";
import { bytesOf } from "../src/graph/values.js";

/** What a maker of nodes works with: it reads `x` and gives the tensor that it made, or undefined if x does not suit. */
interface Draw {
  readonly b: Builder;
  readonly x: string;
  readonly shape: readonly number[];
  readonly state: { before: string; after: string }[];
  /** Tensors of the same shape as x, x among them. */
  readonly alike: readonly string[];
  /** A whole number from `low` to `high`. */
  int(low: number, high: number): number;
  pick<T>(list: readonly T[]): T;
  /** A new parameter with values around `centre`. */
  parameter(shape: readonly number[], centre?: number, spread?: number): string;
}

type Maker = (draw: Draw) => string | undefined;

const axisOf = (d: Draw): number => d.int(0, d.shape.length - 1);

/** The shape with some axes of size 1 and some leading axes left out. */
function broadcastable(d: Draw): number[] {
  const kept = d.shape.slice(d.int(0, d.shape.length - 1));
  return kept.map((n) => (d.int(0, 2) === 0 ? 1 : n));
}

const onRank =
  (ranks: readonly number[], make: Maker): Maker =>
  (d) =>
    ranks.includes(d.shape.length) ? make(d) : undefined;

const unary =
  (op: string, attributes: Attributes = {}): Maker =>
  ({ b, x }) =>
    b.op(op, [x], attributes);

/** √(x² + 1): positive and away from 0. */
const positive = ({ b, x }: Draw): string => b.op("Sqrt", [b.op("Add", [b.op("Mul", [x, x]), b.scalar(1, x)])]);

const convolution: Maker = (d) => {
  const [, channels = 1, ...spatial] = d.shape;
  const group = d.pick([1, 1, channels, channels % 2 === 0 ? 2 : 1]);
  const out = group * d.int(1, 3);
  const kernel = spatial.map((n) => Math.min(n, d.int(1, 3)));
  const weight = d.parameter([out, channels / group, ...kernel], 0, 1 / Math.sqrt(elementCount(kernel) * channels));
  const bias = d.int(0, 1) ? [d.parameter([out])] : [];
  return d.b.op("Conv", [d.x, weight, ...bias], {
    kernel_shape: ints(kernel),
    strides: ints(spatial.map(() => d.int(1, 2))),
    pads: ints([...spatial, ...spatial].map(() => d.int(0, 1))),
    group: int(group),
  });
};

const pooling =
  (op: string, attributes: Attributes = {}): Maker =>
  (d) => {
    const spatial = d.shape.slice(2);
    if (spatial.some((n) => n < 3)) return undefined;
    const kernel = spatial.map(() => d.int(2, 3));
    return d.b.op(op, [d.x], {
      kernel_shape: ints(kernel),
      strides: ints(spatial.map(() => d.int(1, 2))),
      pads: ints([...spatial, ...spatial].map(() => d.int(0, 1))),
      ...attributes,
    });
  };

/** Maker of each kind of node, by a name that says what it makes. */
const makers: Readonly<Record<string, Maker>> = {
  ...Object.fromEntries(
    ["Relu", "Sigmoid", "Tanh", "Neg", "Abs", "Softplus", "Erf", "Sin", "Cos", "Softsign", "HardSwish", "Gelu"].map(
      (op) => [op, unary(op)],
    ),
  ),
  LeakyRelu: unary("LeakyRelu", { alpha: float(0.2) }),
  Elu: unary("Elu", { alpha: float(0.7) }),
  Sqrt: positive,
  Log: (d) => d.b.op("Log", [positive(d)]),
  Exp: ({ b, x }) => b.op("Exp", [b.op("Tanh", [x])]),
  Div: (d) => d.b.op("Div", [d.pick(d.alike), positive(d)]),
  Clip: ({ b, x }) => b.op("Clip", [x, b.scalar(-1, x), b.scalar(1.5, x)]),
  AddParameter: (d) => d.b.op("Add", [d.x, d.parameter(broadcastable(d))]),
  SubParameter: (d) => d.b.op("Sub", [d.parameter(broadcastable(d)), d.x]),
  MulParameter: (d) => d.b.op("Mul", [d.x, d.parameter(broadcastable(d), 1, 0.3)]),
  Add: (d) => d.b.op("Add", [d.x, d.pick(d.alike)]),
  Mul: (d) => d.b.op("Mul", [d.b.op("Tanh", [d.x]), d.pick(d.alike)]),
  Max: (d) => d.b.op("Max", [d.x, d.pick(d.alike)]),
  Min: (d) => d.b.op("Min", [d.x, d.parameter(d.shape)]),
  Where: (d) => d.b.op("Where", [d.b.op("Greater", [d.x, d.b.scalar(0.1, d.x)]), d.x, d.pick(d.alike)]),
  MatMul: (d) => {
    const inner = d.shape.at(-1) as number;
    if (d.shape.length < 2) return undefined;
    return d.b.op("MatMul", [d.x, d.parameter([inner, d.int(1, 8)], 0, 1 / Math.sqrt(inner))]);
  },
  BatchedMatMul: onRank([3, 4], (d) => {
    const perm = d.shape.map((_, i) => i);
    perm.push(...perm.splice(-2).reverse());
    const turned = d.b.op("Transpose", [d.pick(d.alike)], { perm: ints(perm) });
    return d.b.op("Mul", [d.b.op("MatMul", [d.x, turned]), d.b.scalar(0.1, d.x)]);
  }),
  Gemm: onRank([2], (d) => {
    const inner = d.shape[1] as number;
    const [out, transB] = [d.int(1, 8), d.int(0, 1)];
    const weight = d.parameter(transB ? [out, inner] : [inner, out], 0, 1 / Math.sqrt(inner));
    return d.b.op("Gemm", [d.x, weight, d.parameter([out])], { transB: int(transB), alpha: float(0.8) });
  }),
  Einsum: onRank([2, 3, 4], (d) => {
    const inner = d.shape.at(-1) as number;
    const weight = d.parameter([d.int(1, 6), inner], 0, 1 / Math.sqrt(inner));
    return d.b.op("Einsum", [d.x, weight], { equation: text("...j,kj->...k") });
  }),
  Conv: onRank([3, 4], convolution),
  ConvTranspose: onRank([4], (d) => {
    const channels = d.shape[1] as number;
    const weight = d.parameter([channels, 2, 2, 2], 0, 1 / Math.sqrt(4 * channels));
    return d.b.op("ConvTranspose", [d.x, weight], { kernel_shape: ints([2, 2]), strides: ints([d.int(1, 2), 1]) });
  }),
  MaxPool: onRank([4], pooling("MaxPool")),
  AveragePool: onRank([4], pooling("AveragePool", { count_include_pad: int(1) })),
  GlobalAveragePool: onRank([4], unary("GlobalAveragePool")),
  ...Object.fromEntries(
    ["ReduceMean", "ReduceSum", "ReduceMax", "ReduceLogSumExp", "ReduceL2"].map((op): [string, Maker] => [
      op,
      (d) => {
        if (d.shape.length < 2 || elementCount(d.shape) < 16) return undefined;
        return d.b.op(op, [d.x, d.b.vector([axisOf(d)])], { keepdims: int(d.shape.length > 2 ? d.int(0, 1) : 1) });
      },
    ]),
  ),
  Softmax: (d) => d.b.op("Softmax", [d.x], { axis: int(axisOf(d)) }),
  LogSoftmax: (d) => d.b.op("LogSoftmax", [d.x], { axis: int(axisOf(d)) }),
  CumSum: (d) => d.b.op("CumSum", [d.x, d.b.constant("int64", [], axisOf(d))], { reverse: int(d.int(0, 1)) }),
  Transpose: (d) => {
    const axes = d.shape.map((_, i) => i);
    const perm = d.shape.map(() => axes.splice(d.int(0, axes.length - 1), 1)[0] as number);
    return d.b.op("Transpose", [d.x], { perm: ints(perm) });
  },
  Reshape: (d) => {
    if (d.shape.length < 2) return undefined;
    const at = d.int(0, d.shape.length - 2);
    const merged = (d.shape[at] as number) * (d.shape[at + 1] as number);
    return d.b.op("Reshape", [d.x, d.b.vector([...d.shape.slice(0, at), merged, ...d.shape.slice(at + 2)])]);
  },
  Unsqueeze: (d) => (d.shape.length < 4 ? d.b.op("Unsqueeze", [d.x, d.b.vector([axisOf(d)])]) : undefined),
  Flatten: (d) => d.b.op("Flatten", [d.x], { axis: int(1) }),
  Concat: (d) => d.b.op("Concat", [d.x, d.pick(d.alike), d.parameter(d.shape)], { axis: int(axisOf(d)) }),
  Split: (d) => {
    const axis = axisOf(d);
    const size = d.shape[axis] as number;
    if (size < 2) return undefined;
    const cut = d.int(1, size - 1);
    const [first = "", second = ""] = d.b.add(
      "Split",
      [d.x, d.b.vector([cut, size - cut])],
      { axis: int(axis) },
      { count: 2 },
    );
    return d.b.op("Concat", [second, d.b.op("Sigmoid", [first])], { axis: int(axis) });
  },
  Slice: (d) => {
    const axis = axisOf(d);
    const size = d.shape[axis] as number;
    if (size < 3) return undefined;
    const bounds = [d.int(0, 1), size - d.int(0, 1)].map((at) => d.b.vector([at]));
    return d.b.op("Slice", [d.x, ...bounds, d.b.vector([axis]), d.b.vector([d.int(1, 2)])]);
  },
  Pad: (d) => {
    const pads = [...d.shape, ...d.shape].map((n) => (n > 1 ? d.int(0, 1) : 0));
    return d.b.op("Pad", [d.x, d.b.vector(pads)], { mode: text(d.pick(["constant", "edge", "reflect"])) });
  },
  Gather: (d) => {
    const axis = axisOf(d);
    const indices = Array.from({ length: 3 }, () => d.int(0, (d.shape[axis] as number) - 1));
    return d.b.op("Gather", [d.x, d.b.vector(indices)], { axis: int(axis) });
  },
  Expand: (d) => {
    const axis = d.shape.indexOf(1);
    return axis < 0 ? undefined : d.b.op("Expand", [d.x, d.b.vector(d.shape.map((n, i) => (i === axis ? 3 : n)))]);
  },
  Tile: (d) => d.b.op("Tile", [d.x, d.b.vector(d.shape.map(() => d.int(1, 2)))]),
  LayerNormalization: (d) => {
    const last = [d.shape.at(-1) as number];
    if (last[0] === 1) return undefined;
    return d.b.op("LayerNormalization", [d.x, d.parameter(last, 1, 0.2), d.parameter(last)], { axis: int(-1) });
  },
  InstanceNormalization: onRank([3, 4], (d) => {
    const channels = [d.shape[1] as number];
    if (elementCount(d.shape.slice(2)) < 4) return undefined;
    return d.b.op("InstanceNormalization", [d.x, d.parameter(channels, 1, 0.2), d.parameter(channels)]);
  }),
  BatchNormalization: onRank([2, 3, 4], (d) => {
    const channels = [d.shape[1] as number];
    if (elementCount(d.shape) / (channels[0] as number) < 4) return undefined;
    const buffer = (name: string, value: number): string => {
      const data = bytesOf("float32", new Array<number>(channels[0] as number).fill(value));
      return d.b.declare({ name: d.b.fresh(name), dtype: "float32", shape: channels, category: "buffer", data });
    };
    const [mean, variance] = [buffer("running_mean", 0), buffer("running_var", 1)];
    const inputs = [d.x, d.parameter(channels, 1, 0.2), d.parameter(channels), mean, variance];
    const attributes = { epsilon: float(1e-5), momentum: float(0.9) };
    const [y, ...renewed] = d.b.add("BatchNormalization", inputs, attributes, { domain: "mutwo", count: 3 });
    [mean, variance].forEach((before, i) => {
      d.state.push({ before, after: renewed[i] as string });
    });
    return y;
  }),
};

export const makerNames: readonly string[] = Object.keys(makers);

const mostElements = 1500;

/** A forward graph of 10 to 25 draws from the makers, the same for the same seed; lists what was drawn. */
export function randomGraph(seed: number): { graph: Graph; drawn: string[] } {
  const random = randomFrom(seed * 7919 + 13);
  const whole = (low: number, high: number): number => low + Math.floor(random() * (high - low + 1));
  const pick = <T>(list: readonly T[]): T => list[whole(0, list.length - 1)] as T;
  const b = new Builder();
  const shape = pick([
    [2, 4, 6, 6],
    [3, 5, 8],
    [6, 8],
  ]);
  b.declare({ name: "x", dtype: "float32", shape, category: "input" });
  const parameter = (size: readonly number[], centre = 0, spread = 0.5): string => {
    const values = Array.from(
      { length: elementCount(size) },
      () => centre + spread * (2 * random() - 1) * Math.sqrt(3),
    );
    const data = bytesOf("float32", values);
    return b.declare({ name: b.fresh("w"), dtype: "float32", shape: size, category: "parameter", data });
  };
  const state: { before: string; after: string }[] = [];
  const pool = [b.op("Mul", ["x", parameter(shape, 1, 0.3)])];
  const drawn: string[] = [];
  const count = whole(10, 25);
  while (drawn.length < count) {
    // mostly what was made last, so that graphs are deep
    const x = pick(pool.slice(-3));
    const type = b.type(x);
    const alike = pool.filter((name) => b.type(name).shape.join() === type.shape.join());
    const name = pick(makerNames);
    const draw: Draw = { b, x, shape: type.shape, state, alike, int: whole, pick, parameter };
    const made = type.shape.length === 0 ? undefined : (makers[name] as Maker)(draw);
    if (made === undefined) continue;
    drawn.push(name);
    const { shape: size } = b.type(made);
    if (elementCount(size) <= mostElements && size.length <= 4) pool.push(made);
  }
  const output = pool.at(-1) as string;
  const graph = { name: `random ${seed}`, nodes: b.nodes, tensors: b.tensors, inputs: ["x"], outputs: [output], state };
  return { graph, drawn };
}
