import { parseGraph } from "../src/build/text.js";
import type { LinkTraits } from "../src/plan/link.js";
import type { Decision } from "../src/plan/plan.js";

/** What rewriting must know of a decision. */
export type Choice = Pick<Decision, "activation" | "action" | "swap">;

/** Copies as if nothing else were there. */
export const ideal: LinkTraits = {
  slowdown: { out: 0, in: 0 },
  besideOther: { out: 1, in: 1 },
  besideKernels: 1,
  awaitMs: 0,
  margin: 1,
};

/** b is read through a view; d has the size of a, and lives while a is away. */
export const small = parseGraph(`graph small(float32[4,8] x, parameter float32[8,8] w) => (loss, y) {
  h = MatMul(x, w)
  a = Relu(h)
  b = Exp(a)
  v = Reshape(b, int64[1]{-1})
  c = Sin(v)
  d = Cos(c)
loss:
  loss = ReduceSum<keepdims=0>(d)
backward:
  dv = Mul(v, loss)
  db = Reshape(dv, int64[2]{4,8})
  da = Mul(db, a)
  y = ReduceSum<keepdims=0>(da)
}`);

export const smallSwaps: readonly Choice[] = [
  { activation: "a", action: "swap", swap: { outDone: "c", prefetch: "db" } },
  { activation: "b", action: "swap" },
];

/** a and b are saved; a's last forward use is b, b's is c. */
export const chain = parseGraph(`graph chain(float32[256] x) => (y) {
  a = Exp(x)
  b = Exp(a)
  c = Sin(b)
  d = Sin(c)
  e = Sin(d)
  f = Sin(e)
backward:
  g = Sin(f)
  h = Sin(g)
  i = Sin(h)
  db = Mul(i, b)
  j = Sin(db)
  da = Mul(j, a)
  y = Sin(da)
}`);
