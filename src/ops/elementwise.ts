import { type Attributes, dtypeOfNumber, elementCount, int, isFloat, onnxNumbers } from "../graph/graph.js";
import { erfBody } from "./erf.js";
import { binary, broadcastGradient, comparison, fusible, inferBroadcast, native, ofOutput0, unary } from "./kinds.js";
import { math } from "./math.js";
import type { GradientCall, OpTable } from "./op.js";
import { broadcastShape, cast, reduceTo } from "./shapes.js";

/** dX = dY·f'(x), written with the input. */
const fromInput = (slope: (m: ReturnType<typeof math>, x: string) => string) => (call: GradientCall, dY: string) => {
  const m = math(call.b);
  return m.mul(dY, slope(m, call.x(0)));
};

/** dX = dY / f(x). */
const dividedBy =
  (divisor: (m: ReturnType<typeof math>, x: string) => string, sign = 1) =>
  (call: GradientCall, dY: string) => {
    const m = math(call.b);
    return m.div(sign < 0 ? m.neg(dY) : dY, divisor(m, call.x(0)));
  };

const predicate = (types: Record<string, number | `y${number}`>, defaults: Attributes = {}) =>
  native((call) => [{ dtype: "bool", shape: call.input(0).shape }], "zero", { pointwise: true, types, defaults });

const logical = binary("zero", { ...fusible, types: { T: 0, T1: "y0" } });

export const elementwise: OpTable = {
  Abs: unary(
    fromInput((m, x) => m.sign(x)),
    fusible,
  ),
  Neg: unary((call, dY) => math(call.b).neg(dY), { ...fusible, arithmetic: "negate" }),
  Exp: unary((call, dY) => math(call.b).mul(dY, call.y(0)), fusible),
  Log: unary(
    dividedBy((_, x) => x),
    fusible,
  ),
  Sqrt: unary((call, dY) => math(call.b).div(math(call.b).mul(dY, 0.5), call.y(0)), { ...fusible, arithmetic: "root" }),
  Reciprocal: unary(
    (call, dY) => {
      const m = math(call.b);
      return m.neg(m.mul(dY, m.square(call.y(0))));
    },
    { ...fusible, arithmetic: "reciprocal" },
  ),
  Sin: unary(
    fromInput((m, x) => m.cos(x)),
    fusible,
  ),
  Cos: unary(
    fromInput((m, x) => m.neg(m.sin(x))),
    fusible,
  ),
  Tan: unary(
    (call, dY) => {
      const m = math(call.b);
      return m.mul(dY, m.add(m.square(call.y(0)), 1));
    },
    { body: ({ b, x }) => [math(b).div(math(b).sin(x(0)), math(b).cos(x(0)))] },
  ),
  Sinh: unary(
    fromInput((m, x) => m.cosh(x)),
    {
      body: ({ b, x }) => {
        const m = math(b);
        const e = m.exp(x(0));
        return [m.mul(m.sub(e, m.reciprocal(e)), 0.5)];
      },
    },
  ),
  Cosh: unary(
    fromInput((m, x) => m.sinh(x)),
    {
      body: ({ b, x }) => {
        const m = math(b);
        const e = m.exp(x(0));
        return [m.mul(m.add(e, m.reciprocal(e)), 0.5)];
      },
    },
  ),
  Asin: unary(dividedBy((m, x) => m.sqrt(m.sub(1, m.square(x))))),
  Acos: unary(dividedBy((m, x) => m.sqrt(m.sub(1, m.square(x))), -1)),
  Atan: unary(dividedBy((m, x) => m.add(m.square(x), 1))),
  Asinh: unary(
    dividedBy((m, x) => m.sqrt(m.add(m.square(x), 1))),
    {
      // sign(x)·ln(|x| + √(x²+1)): the form without the sign loses all digits for large negative x
      body: ({ b, x }) => {
        const m = math(b);
        const size = m.abs(x(0));
        return [m.mul(m.sign(x(0)), m.log(m.add(size, m.sqrt(m.add(m.square(size), 1)))))];
      },
    },
  ),
  Acosh: unary(
    dividedBy((m, x) => m.sqrt(m.sub(m.square(x), 1))),
    {
      body: ({ b, x }) => {
        const m = math(b);
        return [m.log(m.add(x(0), m.sqrt(m.sub(m.square(x(0)), 1))))];
      },
    },
  ),
  Atanh: unary(
    dividedBy((m, x) => m.sub(1, m.square(x))),
    {
      body: ({ b, x }) => {
        const m = math(b);
        return [m.mul(m.log(m.div(m.add(x(0), 1), m.sub(1, x(0)))), 0.5)];
      },
    },
  ),
  // 2/√π·e^(−x²)
  Erf: unary(
    (call, dY) => {
      const m = math(call.b);
      return m.mul(m.mul(dY, 2 / Math.sqrt(Math.PI)), m.exp(m.neg(m.square(call.x(0)))));
    },
    { ...fusible, body: ({ b, x }) => [erfBody(b, x(0))] },
  ),
  Sign: unary("zero", fusible),
  Floor: unary("zero", fusible),
  Ceil: unary("zero", fusible),
  Round: unary("zero"),
  Not: unary("zero", fusible),
  IsNaN: predicate({ T1: 0, T2: "y0" }),
  IsInf: predicate({ T1: 0, T2: "y0" }, { detect_negative: int(1), detect_positive: int(1) }),

  Add: binary([(_, dY) => dY, (_, dY) => dY], { ...fusible, arithmetic: "add", in16Bits: "all" }),
  Sub: native(
    inferBroadcast(),
    ofOutput0((call, dY) => {
      const to = (i: number): string => reduceTo(call.b, dY, call.input(i).shape);
      return [call.wants(0) ? to(0) : undefined, call.wants(1) ? math(call.b).neg(to(1)) : undefined];
    }),
    { ...fusible, arithmetic: "subtract", holds: { 1: "standard" }, inputTypes: "equal", inPlace: [0, 1] },
  ),
  Mul: binary([(call, dY) => math(call.b).mul(dY, call.x(1)), (call, dY) => math(call.b).mul(dY, call.x(0))], {
    ...fusible,
    arithmetic: "multiply",
    in16Bits: "all",
    scales: [0, 1],
  }),
  // dA = dY/B, dB = −dA·Y
  Div: native(
    inferBroadcast(),
    ofOutput0((call, dY) => {
      const m = math(call.b);
      const quotient = m.div(dY, call.x(1));
      const to = (gradient: string, i: number): string => reduceTo(call.b, gradient, call.input(i).shape);
      return [
        call.wants(0) ? to(quotient, 0) : undefined,
        call.wants(1) ? m.neg(to(m.mul(quotient, call.y(0)), 1)) : undefined,
      ];
    }),
    { ...fusible, arithmetic: "divide", holds: { 1: "standard" }, scales: [1], inputTypes: "equal", inPlace: [0, 1] },
  ),
  Pow: native(
    inferBroadcast(),
    broadcastGradient(
      (call, dY) => {
        const m = math(call.b);
        const { dtype } = call.input(0);
        const values = call.constant(1);
        const only = values?.length === 1 ? values[0] : undefined;
        if (only === 2) return m.mul(m.mul(dY, 2), call.x(0));
        if (only !== undefined) return m.mul(m.mul(dY, only), m.pow(call.x(0), only - 1));
        const exponent = cast(call.b, call.x(1), dtype);
        return m.mul(dY, m.mul(exponent, m.pow(call.x(0), m.sub(exponent, 1))));
      },
      // dB = dY·Y·ln A, and zero where A is not positive
      (call, dY) => {
        const m = math(call.b);
        const a = call.x(0);
        const log = m.where(m.greater(a, 0), m.log(a), 0);
        return m.mul(dY, m.mul(call.y(0), log));
      },
    ),
    {
      ...fusible,
      arithmetic: "power",
      holds: { 1: "setting" },
      inputTypes: "any",
      inPlace: [0],
      types: { T: 0, T1: 1 },
    },
  ),
  // A mod B = A − B·⌊A/B⌋, with fmod rounding towards zero
  Mod: binary(
    [
      (_, dY) => dY,
      (call, dY) => {
        const m = math(call.b);
        const quotient = m.div(call.x(0), call.x(1));
        const whole = call.int("fmod", 0) ? m.mul(m.sign(quotient), m.floor(m.abs(quotient))) : m.floor(quotient);
        return m.neg(m.mul(dY, whole));
      },
    ],
    { holds: { 1: "setting" }, defaults: { fmod: int(0) } },
  ),
  And: logical,
  Or: logical,
  Xor: logical,
  Equal: comparison,
  Greater: comparison,
  Less: comparison,
  GreaterOrEqual: comparison,
  LessOrEqual: comparison,
  Where: native(
    (call) => [
      {
        dtype: call.input(1).dtype,
        shape: broadcastShape(call.input(0).shape, call.input(1).shape, call.input(2).shape),
      },
    ],
    broadcastGradient(
      undefined,
      (call, dY) => math(call.b).masked(call.x(0), dY),
      (call, dY) => math(call.b).masked(math(call.b).not(call.x(0)), dY),
    ),
    {
      ...fusible,
      inPlace: [1, 2],
      types: { T: 1 },
      // where there is no kernel: of bools, (c ∧ x) ∨ (¬c ∧ y)
      body: ({ b, x, input }) => {
        const m = math(b);
        if (input(1).dtype !== "bool") throw new Error(`no kernel: Where of ${input(1).dtype}`);
        return [b.op("Or", [m.and(x(0), x(1)), m.and(m.not(x(0)), x(2))])];
      },
    },
  ),
  Cast: native(
    (call) => [{ dtype: dtypeOfNumber(call.int("to", 0)), shape: call.input(0).shape }],
    ofOutput0((call, dY) => {
      const { dtype } = call.input(0);
      return [isFloat(dtype) ? cast(call.b, dY, dtype) : undefined];
    }),
    {
      ...fusible,
      passes: true,
      types: { T1: 0, T2: "y0" },
      // saturate and round_mode, of later opsets, are about float8
      normalize: (call) => {
        if (dtypeOfNumber(call.int("to", 0)) === call.input(0).dtype) return [call.x(0)];
        if (Object.keys(call.node.attributes).length === 1) return undefined;
        return [call.b.op("Cast", [call.x(0)], { to: int(call.int("to", 0)) }, { name: call.node.name })];
      },
    },
  ),
  CastLike: native(
    (call) => [{ dtype: call.input(1).dtype, shape: call.input(0).shape }],
    ofOutput0((call, dY) => {
      const { dtype } = call.input(0);
      return [isFloat(dtype) ? cast(call.b, dY, dtype) : undefined];
    }),
    {
      pointwise: true,
      inputTypes: "any",
      types: null,
      body: ({ b, x, input }) => [cast(b, x(0), input(1).dtype)],
      normalize: (call) => {
        const { dtype } = call.input(1);
        if (dtype === call.input(0).dtype) return [call.x(0)];
        // exporters cast scalar constants so: they stay constants
        const { shape } = call.input(0);
        const values = elementCount(shape) <= 64 ? call.constant(0) : undefined;
        if (values) return [call.b.constant(dtype, shape, values)];
        return [call.b.op("Cast", [call.x(0)], { to: int(onnxNumbers[dtype]) }, { name: call.node.name })];
      },
    },
  ),
};
