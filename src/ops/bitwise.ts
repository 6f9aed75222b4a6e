import { text } from "../graph/graph.js";
import { binary, unary } from "./kinds.js";
import type { OpTable } from "./op.js";

/** Ops on the bits of whole numbers: no gradient passes them. */
export const bitwise: OpTable = {
  BitShift: binary("zero", {
    inPlace: [],
    choices: { direction: ["LEFT", "RIGHT"] },
    defaults: { direction: text("LEFT") },
  }),
  BitwiseAnd: binary("zero"),
  BitwiseOr: binary("zero"),
  BitwiseXor: binary("zero"),
  BitwiseNot: unary("zero"),
};
