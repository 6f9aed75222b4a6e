import { NodeError } from "../graph/errors.js";
import { dtypeOfNumber, elementCount, int, onnxNumbers, type TensorType } from "../graph/graph.js";
import { inputSize, native, ofOutput0, sameType, type Traits } from "./kinds.js";
import { math } from "./math.js";
import type { GradientCall, ModelsCall, ModelsRule, Normalize, Op, OpCall, OpTable } from "./op.js";
import { alongOwnAxis, oneAfterAnother, outputsAt, shifted } from "./over-models.js";
import { axisOf, cast, expandTo, normalizeAxes, normalizeAxis, reducedShape, reshape, sumOver } from "./shapes.js";

/** The axes that a Reduce op sums over, counted from the front; all of them if none are given. */
function axesOf(call: OpCall): number[] {
  const { shape } = call.input(0);
  const given = call.inputs[1] ? call.need(1) : (call.ints("axes") ?? []);
  if (given.length === 0) return call.int("noop_with_empty_axes", 0) ? [] : shape.map((_, axis) => axis);
  return normalizeAxes(given, shape.length);
}

/** Number of elements that become one. */
const reducedCount = (call: OpCall): number =>
  elementCount(axesOf(call).map((axis) => call.input(0).shape[axis] as number));

/** A tensor of the output's shape with its reduced axes back as axes of size 1. */
const kept = (call: GradientCall, tensor: string): string =>
  reshape(call.b, tensor, reducedShape(call.input(0).shape, axesOf(call), true));

/** Where the models stand once axes are gone: those before axis 1 come first if axis 0 goes. */
const axisWithout = (call: ModelsCall, at: 0 | 1, axes: readonly number[]): 0 | 1 =>
  at === 1 && axes.includes(0) && call.int("keepdims", 1) === 0 ? 0 : at;

const reducedOverModels: ModelsRule = (call) => {
  const axes = axesOf(call);
  const at = call.at(0) ?? 0;
  // channels of all models are as good as those of one where they stay
  const isOne = at === 1 && !axes.includes(1);
  const { shape } = call.input(0);
  const x = isOne ? call.joint(0, 1, oneAfterAnother(shape, call.models, 1)) : call.joint(0, at);
  const over = isOne ? axes : axes.map((axis) => shifted(axis, at));
  const { noop_with_empty_axes: _, ...attributes } = call.node.attributes;
  return outputsAt(call.again([x, call.b.vector(over)], attributes), axisWithout(call, at, axes));
};

/**
 * A reduction over axes. The rule gets the gradient, and may ask for the output, with the reduced axes kept; `each` is
 * what the op still does to each element where there are no axes to reduce.
 */
const reduce = (
  rule: (call: GradientCall, dY: string, y: () => string) => string,
  traits: Traits = {},
  each: (m: ReturnType<typeof math>, x: string) => string = (_, x) => x,
): Op =>
  native(
    (call) => {
      const { dtype, shape } = call.input(0);
      return [{ dtype, shape: reducedShape(shape, axesOf(call), call.int("keepdims", 1) !== 0) }];
    },
    ofOutput0((call, dY) => [
      expandTo(
        call.b,
        rule(call, kept(call, dY), () => kept(call, call.y(0))),
        call.input(0).shape,
      ),
    ]),
    {
      flops: inputSize,
      axesIn: { axes: 1 },
      hostInputs: [1],
      overModels: reducedOverModels,
      defaults: { keepdims: int(1), noop_with_empty_axes: int(0) },
      // before opset 18 (ReduceSum: 13) the axes are an attribute
      normalize: (call) => {
        if (axesOf(call).length === 0) return [each(math(call.b), call.x(0))];
        const axes = call.ints("axes");
        if (!axes) return undefined;
        const { axes: _, ...attributes } = call.node.attributes;
        return [call.b.op(call.node.op, [call.x(0), call.b.vector(axes)], attributes, { name: call.node.name })];
      },
      ...traits,
    },
  );

const rows = (neutral: number, traits: Traits = {}): Traits => ({ fusible: "rows", neutral, ...traits });

/** ReduceMax, ReduceMin: the gradient goes to the elements that equal the extremum, in equal parts where several do. */
const reducedExtremum = (neutral: number): Op =>
  reduce((call, dY, y) => {
    const m = math(call.b);
    const chosen = cast(call.b, m.equal(call.x(0), y()), call.input(0).dtype);
    return m.mul(chosen, m.div(dY, sumOver(call.b, chosen, axesOf(call))));
  }, rows(neutral));

const indexReduction = native(
  (call) => {
    const { shape } = call.input(0);
    return [{ dtype: "int64", shape: reducedShape(shape, [axisOf(call, 0)], call.int("keepdims", 1) !== 0) }];
  },
  "zero",
  {
    flops: inputSize,
    overModels: (call) => {
      const axis = axisOf(call, 0);
      const at = call.at(0) ?? 0;
      const attributes = { ...call.node.attributes, axis: int(shifted(axis, at)) };
      return outputsAt(call.again([call.joint(0, at)], attributes), axisWithout(call, at, [axis]));
    },
    defaults: { axis: int(0), keepdims: int(1), select_last_index: int(0) },
  },
);

const lastAxis = { axis: int(-1) };

/** The type of input 0, which has the axis. */
const alongAxis = (call: OpCall): TensorType[] => {
  axisOf(call, -1);
  return sameType(call);
};

/** Before opset 13 Softmax and its like see a matrix: all axes from `axis` (default 1) on are one. */
const flattenedBefore13: Normalize = (call) => {
  if (call.opset >= 13) return undefined;
  const { b, node } = call;
  const { shape } = call.input(0);
  const axis = axisOf(call, Math.min(1, shape.length - 1));
  const rows = elementCount(shape.slice(0, axis));
  const matrix = reshape(b, call.x(0), axis === shape.length - 1 ? shape : [rows, elementCount(shape.slice(axis))]);
  return [reshape(b, b.op(node.op, [matrix], lastAxis, { name: node.name }), shape)];
};

/** dY·Y, summed over an axis that stays. */
const sumOfProduct = (call: GradientCall, product: string): string => sumOver(call.b, product, [axisOf(call, -1)]);

function inferTopK(call: OpCall): TensorType[] {
  const { dtype, shape } = call.input(0);
  const axis = axisOf(call, -1);
  const k = call.inputs[1] ? call.needOne(1) : call.int("k", 1);
  if (!(k >= 0 && k <= (shape[axis] as number)))
    throw new NodeError(`shape mismatch: k = ${k} of [${shape}]`, call.node);
  const out = shape.map((n, i) => (i === axis ? k : n));
  return [
    { dtype, shape: out },
    { dtype: "int64", shape: out },
  ];
}

/** Reductions over axes, and the ops that compare or sum along one axis. */
export const reduction: OpTable = {
  ReduceSum: reduce((_, dY) => dY, rows(0)),
  /** The sum of elements of 16 bits in another type, `to`, as which they are added up. */
  "mutwo:ReduceSum": native(
    (call) => {
      const dtype = dtypeOfNumber(call.int("to", onnxNumbers.float32));
      return [{ dtype, shape: reducedShape(call.input(0).shape, axesOf(call), call.int("keepdims", 1) !== 0) }];
    },
    "none",
    {
      flops: inputSize,
      hostInputs: [1],
      types: null,
      body: ({ b, x, node, ...call }) => {
        const wide = cast(b, x(0), dtypeOfNumber(call.int("to", onnxNumbers.float32)));
        return [b.op("ReduceSum", [wide, ...node.inputs.slice(1)], { keepdims: int(call.int("keepdims", 1)) })];
      },
    },
  ),
  ReduceMean: reduce((call, dY) => math(call.b).mul(dY, 1 / reducedCount(call)), rows(0, { averages: true })),
  ReduceMax: reducedExtremum(Number.NEGATIVE_INFINITY),
  ReduceMin: reducedExtremum(Number.POSITIVE_INFINITY),
  // dX = dY·Y/X: undefined where an element is zero
  ReduceProd: reduce((call, dY, y) => math(call.b).div(math(call.b).mul(dY, y()), call.x(0))),
  ReduceL1: reduce(
    (call, dY) => math(call.b).mul(math(call.b).sign(call.x(0)), dY),
    {},
    (m, x) => m.abs(x),
  ),
  // dX = dY·X/Y, and zero where the norm is
  ReduceL2: reduce(
    (call, dY, y) => {
      const m = math(call.b);
      const norm = y();
      return m.mul(call.x(0), m.where(m.greater(norm, 0), m.div(dY, norm), 0));
    },
    {},
    (m, x) => m.abs(x),
  ),
  // Y = ln ΣX, so ΣX = e^Y
  ReduceLogSum: reduce(
    (call, dY, y) => math(call.b).div(dY, math(call.b).exp(y())),
    {},
    (m, x) => m.log(x),
  ),
  ReduceLogSumExp: reduce((call, dY, y) => {
    const m = math(call.b);
    return m.mul(m.exp(m.sub(call.x(0), y())), dY);
  }),
  ReduceSumSquare: reduce(
    (call, dY) => math(call.b).mul(call.x(0), math(call.b).mul(dY, 2)),
    {
      flops: (call) => 2 * inputSize(call),
    },
    (m, x) => m.square(x),
  ),
  ArgMax: indexReduction,
  ArgMin: indexReduction,
  // dX = (dY − Σ dY·Y)·Y
  Softmax: native(
    alongAxis,
    ofOutput0((call, dY) => {
      const m = math(call.b);
      const y = call.y(0);
      return [m.mul(m.sub(dY, sumOfProduct(call, m.mul(dY, y))), y)];
    }),
    {
      inPlace: [0],
      flops: (call) => 5 * inputSize(call),
      overModels: alongOwnAxis(-1),
      defaults: lastAxis,
      normalize: flattenedBefore13,
    },
  ),
  // dX = dY − e^Y·Σ dY
  LogSoftmax: native(
    alongAxis,
    ofOutput0((call, dY) => {
      const m = math(call.b);
      return [m.sub(dY, m.mul(m.exp(call.y(0)), sumOfProduct(call, dY)))];
    }),
    {
      inPlace: [0],
      // the float64 kernel reads X again after it has begun to write
      inPlaceTypes: ["float32"],
      flops: (call) => 5 * inputSize(call),
      overModels: alongOwnAxis(-1),
      defaults: lastAxis,
      normalize: flattenedBefore13,
      parts: {
        // x − max − ln Σ e^(x − max)
        of: (call) => {
          const { b } = call;
          const m = math(b);
          const axes = [axisOf(call, -1)];
          const level = m.sub(call.x(0), b.op("ReduceMax", [call.x(0), b.vector(axes)]));
          return [m.sub(level, m.log(sumOver(b, m.exp(level), axes)))];
        },
      },
    },
  ),
  Hardmax: native(alongAxis, "zero", {
    flops: inputSize,
    overModels: alongOwnAxis(-1),
    defaults: lastAxis,
    normalize: flattenedBefore13,
  }),
  // summed the other way
  CumSum: native(
    (call) => {
      normalizeAxis(call.needOne(1), call.input(0).shape.length);
      return sameType(call);
    },
    ofOutput0((call, dY) => [
      call.b.op("CumSum", [dY, call.b.vector([call.needOne(1)])], {
        exclusive: int(call.int("exclusive", 0)),
        reverse: int(call.int("reverse", 0) ? 0 : 1),
      }),
    ]),
    {
      hostInputs: [1],
      types: { T: 0, T2: 1 },
      overModels: (call) => {
        const at = call.at(0) ?? 0;
        const axis = shifted(normalizeAxis(call.needOne(1), call.input(0).shape.length), at);
        return outputsAt(call.again([call.joint(0, at), call.b.vector([axis])]), at);
      },
      defaults: { exclusive: int(0), reverse: int(0) },
    },
  ),
  // each value goes back to where it was: the indices along an axis are distinct, so nothing is added up
  TopK: native(
    inferTopK,
    ofOutput0((call, dY) => {
      const { dtype, shape } = call.input(0);
      const zeros = expandTo(call.b, call.b.constant(dtype, [], 0), shape);
      const axis = int(axisOf(call, -1));
      return [call.b.op("ScatterElements", [zeros, call.y(1), dY], { axis })];
    }),
    {
      hostInputs: [1],
      flops: inputSize,
      pins: "always",
      overModels: alongOwnAxis(-1),
      types: { T: 0, I: "y1" },
      defaults: { axis: int(-1), largest: int(1), sorted: int(1) },
      // before opset 10 the number of elements is an attribute
      normalize: (call) => {
        if (call.inputs[1]) return undefined;
        const inputs = [call.x(0), call.b.vector([call.int("k", 1)])];
        const axis = { axis: int(call.int("axis", -1)) };
        return call.b.add("TopK", inputs, axis, { name: call.node.name, count: 2 });
      },
    },
  ),
};
