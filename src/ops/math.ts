import { perObject } from "../graph/memo.js";
import type { Emit } from "./emit.js";
import { cast } from "./shapes.js";

/** A tensor's name, or a number that becomes a scalar constant of the other operand's element type. */
export type Operand = string | number;

/** Short forms for the nodes that gradient rules and bodies are made of; each adds one node and gives its output. */
export const math = perObject((b: Emit) => {
  const operands = (x: Operand, y: Operand): [string, string] => {
    if (typeof x === "string") return [x, typeof y === "string" ? y : b.scalar(y, x)];
    if (typeof y === "string") return [b.scalar(x, y), y];
    throw new Error(`no tensor among the operands: ${x}, ${y}`);
  };
  const pair = (op: string) => (x: Operand, y: Operand) => b.op(op, operands(x, y));
  const single = (op: string) => (x: string) => b.op(op, [x]);
  return {
    add: pair("Add"),
    sub: pair("Sub"),
    mul: pair("Mul"),
    div: pair("Div"),
    pow: pair("Pow"),
    greater: pair("Greater"),
    less: pair("Less"),
    greaterOrEqual: pair("GreaterOrEqual"),
    lessOrEqual: pair("LessOrEqual"),
    equal: pair("Equal"),
    and: pair("And"),
    neg: single("Neg"),
    abs: single("Abs"),
    sign: single("Sign"),
    exp: single("Exp"),
    log: single("Log"),
    sqrt: single("Sqrt"),
    reciprocal: single("Reciprocal"),
    sin: single("Sin"),
    cos: single("Cos"),
    sinh: single("Sinh"),
    cosh: single("Cosh"),
    erf: single("Erf"),
    tanh: single("Tanh"),
    sigmoid: single("Sigmoid"),
    softplus: single("Softplus"),
    floor: single("Floor"),
    square: (x: string) => b.op("Mul", [x, x]),
    not: single("Not"),
    /**
     * x where the mask holds, else 0. ONNX Runtime's Where makes two temporary tensors of the output's size and takes
     * twice as long on the CPU.
     */
    masked: (mask: string, x: string) => b.op("Mul", [x, cast(b, mask, b.type(x).dtype)]),
    where: (condition: string, x: Operand, y: Operand) => b.op("Where", [condition, ...operands(x, y)]),
  };
});
