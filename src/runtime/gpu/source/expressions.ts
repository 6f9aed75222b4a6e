import { type DType, isFloat } from "../../../graph/graph.js";
import type { callOf } from "../../../ops/call.js";
import { memoryTypes } from "./kernel.js";

export const computeTypes: Partial<Record<DType, string>> = {
  ...memoryTypes,
  float16: "float",
  bfloat16: "float",
  bool: "bool",
};

const isDouble = (dtype: DType): boolean => dtype === "float64";

/** A number as a literal of the type that a value is computed in. */
export function literal(dtype: DType, value: number): string {
  if (dtype === "bool") return value ? "true" : "false";
  if (!isFloat(dtype)) return dtype === "int64" ? `${BigInt(Math.trunc(value))}LL` : String(Math.trunc(value));
  const suffix = isDouble(dtype) ? "" : "f";
  if (Number.isNaN(value)) return isDouble(dtype) ? 'nan("")' : 'nanf("")';
  if (!Number.isFinite(value)) return `${value < 0 ? "-" : ""}${isDouble(dtype) ? "(1.0/0.0)" : "(1.0f/0.0f)"}`;
  const rounded = isDouble(dtype) ? value : Math.fround(value);
  const text = rounded.toExponential();
  return `${text}${suffix}`;
}

export type Expression = (args: readonly string[], call: ReturnType<typeof callOf>, dtype: DType) => string;

const infix =
  (operator: string): Expression =>
  ([a, b]) =>
    `(${a} ${operator} ${b})`;

/** A function of C's math library in the type's precision. */
const mathCall =
  (name: string): Expression =>
  (args, _, dtype) =>
    `${name}${isDouble(dtype) ? "" : "f"}(${args.join(", ")})`;

const one = (dtype: DType): string => literal(dtype, 1);

const zero = (dtype: DType): string => literal(dtype, 0);

/** What each op computes of its elements, as C; `dtype` is the first input's. */
export const expressions: Readonly<Record<string, Expression>> = {
  Add: infix("+"),
  Sub: infix("-"),
  Mul: infix("*"),
  Div: infix("/"),
  Neg: ([a]) => `(-${a})`,
  Abs: ([a], _, dtype) => (isFloat(dtype) ? `fabs${isDouble(dtype) ? "" : "f"}(${a})` : `(${a} < 0 ? -${a} : ${a})`),
  Sqrt: mathCall("sqrt"),
  Exp: mathCall("exp"),
  Log: mathCall("log"),
  Erf: mathCall("erf"),
  Tanh: mathCall("tanh"),
  Sin: mathCall("sin"),
  Cos: mathCall("cos"),
  Floor: mathCall("floor"),
  Ceil: mathCall("ceil"),
  Sigmoid: ([a], _, dtype) => `(${one(dtype)} / (${one(dtype)} + exp${isDouble(dtype) ? "" : "f"}(-${a})))`,
  Softplus: ([a], _, dtype) => {
    const f = isDouble(dtype) ? "" : "f";
    return `(${a} > ${zero(dtype)} ? ${a} + log1p${f}(exp${f}(-${a})) : log1p${f}(exp${f}(${a})))`;
  },
  // NaN stays NaN
  Relu: ([a], _, dtype) => `(${a} < ${zero(dtype)} ? ${zero(dtype)} : ${a})`,
  LeakyRelu: ([a], call, dtype) =>
    `(${a} < ${zero(dtype)} ? ${literal(dtype, call.float("alpha", 0.01))} * ${a} : ${a})`,
  Elu: ([a], call, dtype) =>
    `(${a} < ${zero(dtype)} ? ${literal(dtype, call.float("alpha", 1))} * (exp${isDouble(dtype) ? "" : "f"}(${a}) - ${one(dtype)}) : ${a})`,
  HardSigmoid: ([a], call, dtype) => {
    const line = `${literal(dtype, call.float("alpha", 0.2))} * ${a} + ${literal(dtype, call.float("beta", 0.5))}`;
    return `mutwo_max(mutwo_min(${line}, ${one(dtype)}), ${zero(dtype)})`;
  },
  Reciprocal: ([a], _, dtype) => `(${one(dtype)} / ${a})`,
  Sign: ([a], _, dtype) => {
    const C = computeTypes[dtype];
    return `(${C})((${a} > (${C})0) - (${a} < (${C})0))`;
  },
  Pow: (args, call, dtype) => {
    const exponent = call.constant(1);
    const [a] = args;
    if (exponent?.length === 1 && exponent[0] === 2) return `(${a} * ${a})`;
    if (exponent?.length === 1 && exponent[0] === 3) return `(${a} * ${a} * ${a})`;
    return mathCall("pow")(args, call, dtype);
  },
  Equal: infix("=="),
  Greater: infix(">"),
  Less: infix("<"),
  GreaterOrEqual: infix(">="),
  LessOrEqual: infix("<="),
  And: infix("&&"),
  Or: infix("||"),
  Xor: infix("!="),
  Not: ([a]) => `(!${a})`,
  Where: ([condition, a, b]) => `(${condition} ? ${a} : ${b})`,
  Min: (args) => args.reduce((a, b) => `(${a} < ${b} || ${a} != ${a} ? ${a} : ${b})`),
  Max: (args) => args.reduce((a, b) => `(${a} > ${b} || ${a} != ${a} ? ${a} : ${b})`),
  Clip: ([a, low, high]) => {
    const raised = low ? `(${a} < ${low} ? ${low} : ${a})` : a;
    return high ? `mutwo_min(${raised}, ${high})` : (raised as string);
  },
  BatchNormalizationApply: ([x, scale, bias, mean, inverse]) =>
    `((${x} - ${mean}) * (${inverse} * ${scale}) + ${bias})`,
  BatchNormalizationGradientApply: ([dy, x, mean, slope, tilt, level]) =>
    `(${slope} * ${dy} + (${tilt} * (${x} - ${mean}) + ${level}))`,
};

export interface Reduction {
  readonly start: (dtype: DType) => string;
  readonly join: (a: string, b: string) => string;
  readonly finish: (sum: string, dtype: DType, count: number) => string;
}

export const reductions: Readonly<Record<string, Reduction>> = {
  ReduceSum: { start: zero, join: (a, b) => `${a} + ${b}`, finish: (sum) => sum },
  ReduceMean: {
    start: zero,
    join: (a, b) => `${a} + ${b}`,
    finish: (sum, dtype, count) => `${sum} / ${literal(dtype, count)}`,
  },
  ReduceMax: {
    start: (dtype) => literal(dtype, Number.NEGATIVE_INFINITY),
    join: (a, b) => `mutwo_max(${a}, ${b})`,
    finish: (most) => most,
  },
  ReduceMin: {
    start: (dtype) => literal(dtype, Number.POSITIVE_INFINITY),
    join: (a, b) => `mutwo_min(${a}, ${b})`,
    finish: (least) => least,
  },
};
