import { NodeError } from "../graph/errors.js";
import { elementCount, float, text } from "../graph/graph.js";
import type { Emit } from "./emit.js";
import { fastGelu, fastGeluGradient, gelu, geluGradient } from "./gelu.js";
import { broadcastGradient, fusible, native, type Partial1, sameType, type Traits, unary } from "./kinds.js";
import { math } from "./math.js";
import type { GradientCall, Op, OpCall, OpTable } from "./op.js";
import { elementByElement, isCommon } from "./over-models.js";
import { broadcastShape, sameShape } from "./shapes.js";

/**
 * Where a mask over the input's sign can be read: from the output, which need not be kept beside the input, if the
 * function keeps the sign; else from the input.
 */
const signSource = (call: GradientCall, keepsSign: boolean): string => (keepsSign ? call.y(0) : call.x(0));

/** Gradient of a function that is x·`slope` above zero and has a derivative of its own below. */
const kinked =
  (
    above: (call: OpCall) => number,
    below: (call: GradientCall, dY: string) => string,
    keepsSign: (call: OpCall) => boolean,
  ): Partial1 =>
  (call, dY) => {
    const m = math(call.b);
    const slope = above(call);
    const positive = m.greater(signSource(call, keepsSign(call)), 0);
    return m.where(positive, slope === 1 ? dY : m.mul(dY, slope), below(call, dY));
  };

const alpha = (otherwise: number) => (call: OpCall) => call.float("alpha", otherwise);

const one = () => 1;

const seluAlpha = 1.6732632423543772;

const seluGamma = 1.0507009873554805;

const elu = (name: "Elu" | "Selu"): Op => {
  const selu = name === "Selu";
  const scale = (call: OpCall): number => (selu ? call.float("gamma", seluGamma) : 1);
  const depth = (call: OpCall): number => scale(call) * call.float("alpha", selu ? seluAlpha : 1);
  // below zero Y = depth·(eˣ − 1), so Y' = Y + depth
  const gradient = kinked(
    scale,
    (call, dY) => math(call.b).mul(dY, math(call.b).add(call.y(0), depth(call))),
    (call) => depth(call) >= 0 && scale(call) > 0,
  );
  return unary(gradient, {
    ...(selu ? {} : fusible),
    defaults: selu ? { alpha: float(seluAlpha), gamma: float(seluGamma) } : { alpha: float(1) },
    body: (call) => {
      const m = math(call.b);
      const x = call.x(0);
      const above = scale(call) === 1 ? x : m.mul(x, scale(call));
      return [m.where(m.greater(x, 0), above, m.mul(m.sub(m.exp(x), 1), depth(call)))];
    },
  });
};

const hardSigmoidBody = (b: Emit, x: string): string =>
  b.op("HardSigmoid", [x], { alpha: float(1 / 6), beta: float(0.5) });

/** x·σ(αx): σ + αx·σ·(1 − σ) = σ·(1 + αx·(1 − σ)). */
const swish = (otherwise: number, traits: Traits): Op =>
  unary(
    (call, dY) => {
      const m = math(call.b);
      const scaled = m.mul(call.x(0), alpha(otherwise)(call));
      const s = m.sigmoid(scaled);
      return m.mul(dY, m.mul(s, m.add(m.mul(scaled, m.sub(1, s)), 1)));
    },
    {
      inPlace: [],
      defaults: { alpha: float(otherwise) },
      body: (call) => {
        const m = math(call.b);
        const a = alpha(otherwise)(call);
        return [m.mul(call.x(0), m.sigmoid(a === 1 ? call.x(0) : m.mul(call.x(0), a)))];
      },
      ...traits,
    },
  );

/** Activation functions. */
export const activation: OpTable = {
  // from the output: the input need not be kept
  Relu: unary((call, dY) => math(call.b).masked(math(call.b).greater(call.y(0), 0), dY), {
    ...fusible,
    in16Bits: "all",
  }),
  LeakyRelu: unary(
    kinked(
      one,
      (call, dY) => math(call.b).mul(dY, alpha(0.01)(call)),
      (call) => alpha(0.01)(call) >= 0,
    ),
    {
      ...fusible,
      in16Bits: "all",
      defaults: { alpha: float(0.01) },
      body: (call) => {
        const m = math(call.b);
        return [m.where(m.greater(call.x(0), 0), call.x(0), m.mul(call.x(0), alpha(0.01)(call)))];
      },
    },
  ),
  PRelu: native(
    (call) => {
      const { shape } = call.input(0);
      if (!sameShape(broadcastShape(shape, call.input(1).shape), shape))
        throw new NodeError(`shape mismatch: slope [${call.input(1).shape}] for [${shape}]`, call.node);
      return sameType(call);
    },
    broadcastGradient(
      (call, dY) => {
        const m = math(call.b);
        return m.where(m.less(call.x(0), 0), m.mul(dY, call.x(1)), dY);
      },
      (call, dY) => {
        const m = math(call.b);
        return m.masked(m.less(call.x(0), 0), m.mul(dY, call.x(0)));
      },
    ),
    {
      pointwise: true,
      holds: { 1: "weight" },
      // the slope is spread over X, never the other way round
      overModels: (call) => (isCommon(call, 0) ? undefined : elementByElement(call)),
      body: ({ b, x }) => {
        const m = math(b);
        return [m.where(m.less(x(0), 0), m.mul(x(0), x(1)), x(0))];
      },
    },
  ),
  Elu: elu("Elu"),
  Selu: elu("Selu"),
  // below zero Y = α·(e^(x/α) − 1), so Y' = Y/α + 1
  Celu: unary(
    kinked(
      one,
      (call, dY) => math(call.b).mul(dY, math(call.b).add(math(call.b).mul(call.y(0), 1 / alpha(1)(call)), 1)),
      () => true,
    ),
    {
      defaults: { alpha: float(1) },
      body: (call) => {
        const m = math(call.b);
        const a = alpha(1)(call);
        const below = m.mul(m.sub(m.exp(m.div(call.x(0), a)), 1), a);
        return [m.where(m.greater(call.x(0), 0), call.x(0), below)];
      },
    },
  ),
  ThresholdedRelu: unary(
    (call, dY) => {
      const m = math(call.b);
      const a = alpha(1)(call);
      return m.masked(a >= 0 ? m.greater(call.y(0), 0) : m.greater(call.x(0), a), dY);
    },
    {
      defaults: { alpha: float(1) },
      body: (call) => [math(call.b).masked(math(call.b).greater(call.x(0), alpha(1)(call)), call.x(0))],
    },
  ),
  Shrink: unary(
    (call, dY) => {
      const m = math(call.b);
      return m.masked(m.greater(m.abs(call.x(0)), call.float("lambd", 0.5)), dY);
    },
    { defaults: { bias: float(0), lambd: float(0.5) } },
  ),
  Sigmoid: unary(
    (call, dY) => {
      const m = math(call.b);
      const y = call.y(0);
      return m.mul(m.mul(dY, y), m.sub(1, y));
    },
    { ...fusible, in16Bits: "all" },
  ),
  HardSigmoid: unary(
    (call, dY) => {
      const m = math(call.b);
      const inside = m.and(m.greater(call.y(0), 0), m.less(call.y(0), 1));
      return m.masked(inside, m.mul(dY, call.float("alpha", 0.2)));
    },
    {
      ...fusible,
      in16Bits: "all",
      defaults: { alpha: float(0.2), beta: float(0.5) },
      body: (call) => {
        const m = math(call.b);
        const line = m.add(m.mul(call.x(0), call.float("alpha", 0.2)), call.float("beta", 0.5));
        const below1 = m.where(m.less(line, 1), line, 1);
        return [m.where(m.greater(below1, 0), below1, 0)];
      },
    },
  ),
  // 0 below −3, 1 above 3, x/3 + ½ between
  HardSwish: unary(
    (call, dY) => {
      const m = math(call.b);
      const x = call.x(0);
      const between = m.add(m.mul(x, 1 / 3), 0.5);
      const below3 = m.where(m.greater(x, -3), between, 0);
      return m.mul(dY, m.where(m.less(x, 3), below3, 1));
    },
    {
      in16Bits: "all",
      flops: (call) => 4 * elementCount(call.input(0).shape),
      body: ({ b, x }) => [math(b).mul(x(0), hardSigmoidBody(b, x(0)))],
    },
  ),
  // max(x, 0) + ln(1 + e^−|x|) does not overflow
  Softplus: unary((call, dY) => math(call.b).mul(dY, math(call.b).sigmoid(call.x(0))), {
    ...fusible,
    body: ({ b, x }) => {
      const m = math(b);
      const tail = m.log(m.add(m.exp(m.neg(m.abs(x(0)))), 1));
      return [m.add(m.masked(m.greater(x(0), 0), x(0)), tail)];
    },
  }),
  // 1/(1 + |x|)²
  Softsign: unary(
    (call, dY) => {
      const m = math(call.b);
      return m.div(dY, m.square(m.add(m.abs(call.x(0)), 1)));
    },
    { body: ({ b, x }) => [math(b).div(x(0), math(b).add(math(b).abs(x(0)), 1))] },
  ),
  Tanh: unary((call, dY) => math(call.b).mul(dY, math(call.b).sub(1, math(call.b).square(call.y(0)))), {
    ...fusible,
    in16Bits: "all",
  }),
  // with t = tanh(softplus(x)): t + x·σ(x)·(1 − t²)
  Mish: unary(
    (call, dY) => {
      const m = math(call.b);
      const x = call.x(0);
      const t = m.tanh(m.softplus(x));
      const slope = m.mul(m.mul(x, m.sigmoid(x)), m.sub(1, m.square(t)));
      return m.mul(dY, m.add(slope, t));
    },
    { types: null, body: ({ b, x }) => [math(b).mul(x(0), math(b).tanh(math(b).softplus(x(0))))] },
  ),
  Gelu: unary(
    (call, dY) =>
      call.text("approximate", "none") === "tanh"
        ? fastGeluGradient(call.b, call.x(0), dY)
        : geluGradient(call.b, call.x(0), dY),
    {
      since: 20,
      choices: { approximate: ["none", "tanh"] },
      inPlace: [],
      defaults: { approximate: text("none") },
      body: (call) => {
        const { b, x } = call;
        return [call.text("approximate", "none") === "tanh" ? fastGelu(b, x(0)) : gelu(b, x(0))];
      },
    },
  ),
  "com.microsoft:Gelu": unary((call, dY) => geluGradient(call.b, call.x(0), dY), {
    inPlace: [],
    body: ({ b, x }) => [gelu(b, x(0))],
  }),
  "com.microsoft:QuickGelu": swish(1.702, {}),
  Swish: swish(1, { since: 24, types: null }),
};
