import { int } from "../graph/graph.js";
import type { Emit } from "./emit.js";
import { math } from "./math.js";
import type { BodyCall } from "./op.js";

/** One activation function, as the nodes that compute it. */
export type Activate = (x: string) => string;

export interface Sizes {
  readonly steps: number;
  readonly batch: number;
  readonly features: number;
  readonly hidden: number;
  readonly directions: readonly ("forward" | "reverse")[];
  /** Batch before steps, as attribute `layout` says. */
  readonly batchFirst: boolean;
}

/** What one direction of a node computes with; W, R and biases without the directions' axis. */
export interface Direction {
  readonly b: Emit;
  readonly sizes: Sizes;
  /** [steps·batch, features]. */
  readonly x: string;
  readonly w: string;
  readonly r: string;
  /** [2·gates·hidden]: those of W, then those of R. */
  readonly bias: string | undefined;
  /** [3·hidden]: peepholes of the input, output and forget gates. */
  readonly peepholes: string | undefined;
  /** [batch, hidden]; undefined if it is zero. */
  readonly h: string | undefined;
  readonly c: string | undefined;
  readonly activations: readonly Activate[];
}

/** States after each step; `c` is LSTM's cell. */
export interface State {
  readonly h: string | undefined;
  readonly c: string | undefined;
}

/** Prepares what all steps share and gives the function from a step and its state to the next state. */
export type Cell = (call: BodyCall, direction: Direction) => (step: number, state: State) => State;

/** The parts of a tensor; itself if there is only one. */
export const split = (b: Emit, x: string, sizes: readonly number[], axis: number): string[] =>
  sizes.length === 1 ? [x] : b.add("Split", [x, b.vector(sizes)], { axis: int(axis) }, { count: sizes.length });

/** x·Mᵀ + c: one product, the bias or what is already there in the same node. */
const affine = (b: Emit, x: string, matrix: string, c: string | undefined): string =>
  b.op("Gemm", c === undefined ? [x, matrix] : [x, matrix, c], { transB: int(1) });

/** X·Wᵀ + bias for all steps in one product, cut into the steps. */
function stepInputs({ b, x, sizes }: Direction, w: string, bias: string | undefined): string[] {
  return split(b, affine(b, x, w, bias), new Array<number>(sizes.steps).fill(sizes.batch), 0);
}

/** Bounds what goes into an activation function, if attribute `clip` is given. */
const clipped = (call: BodyCall): Activate => {
  if (!call.node.attributes.clip) return (x) => x;
  const limit = call.float("clip", 0);
  return (x) => call.b.op("Clip", [x, call.b.scalar(-limit, x), call.b.scalar(limit, x)]);
};

/** The sum of W's and R's biases. */
function summedBias({ b, bias }: Direction): string | undefined {
  if (!bias) return undefined;
  const half = (b.type(bias).shape[0] as number) / 2;
  const [w, r] = split(b, bias, [half, half], 0) as [string, string];
  return math(b).add(w, r);
}

/** H = f(X·Wᵀ + H·Rᵀ + bias). */
export const rnnCell: Cell = (call, direction) => {
  const { b, r } = direction;
  const [f] = direction.activations as [Activate];
  const clip = clipped(call);
  const inputs = stepInputs(direction, direction.w, summedBias(direction));
  return (step, { h }) => {
    const x = inputs[step] as string;
    return { h: f(clip(h ? affine(b, h, r, x) : x)), c: undefined };
  };
};

/**
 * i, o, f = σ(X·Wᵀ + H·Rᵀ + bias + P·C), g = tanh(…), C' = f·C + i·g, H' = o·tanh(C'); o's peephole looks at C'.
 * Gates lie in the order i, o, f, g, so that without peepholes one activation serves the first three.
 */
export const lstmCell: Cell = (call, direction) => {
  const { b, r, peepholes, sizes } = direction;
  const n = sizes.hidden;
  const m = math(b);
  const [f, g, h] = direction.activations as [Activate, Activate, Activate];
  const clip = clipped(call);
  const coupled = call.int("input_forget", 0) !== 0;
  const inputs = stepInputs(direction, direction.w, summedBias(direction));
  const [pi, po, pf] = peepholes ? split(b, peepholes, [n, n, n], 0) : [];
  const peeping = (x: string, p: string | undefined, c: string | undefined): string =>
    p && c ? m.add(x, m.mul(p, c)) : x;
  return (step, state) => {
    const x = inputs[step] as string;
    const gates = state.h ? affine(b, state.h, r, x) : x;
    let [input, output, forget, fresh]: string[] = [];
    if (peepholes) {
      const parts = split(b, gates, [n, n, n, n], 1) as [string, string, string, string];
      input = f(clip(peeping(parts[0], pi, state.c)));
      output = parts[1];
      forget = coupled || !state.c ? undefined : f(clip(peeping(parts[2], pf, state.c)));
      fresh = parts[3];
    } else {
      const [three, last] = split(b, gates, [3 * n, n], 1) as [string, string];
      [input, output, forget] = split(b, f(clip(three)), [n, n, n], 1);
      fresh = last;
    }
    const made = m.mul(input as string, g(clip(fresh as string)));
    const kept = coupled ? m.sub(1, input as string) : (forget as string);
    const c = state.c ? m.add(m.mul(kept, state.c), made) : made;
    const open = peepholes ? f(clip(peeping(output as string, po, c))) : (output as string);
    return { h: m.mul(open, h(c)), c };
  };
};

/**
 * z, r = σ(X·Wᵀ + H·Rᵀ + bias), n = tanh(X·Wᵀ + bias + (r·H)·Rᵀ), or tanh(X·Wᵀ + bias + r·(H·Rᵀ + bias)) with
 * linear_before_reset; H' = n + z·(H − n).
 */
export const gruCell: Cell = (call, direction) => {
  const { b, sizes, bias } = direction;
  const n = sizes.hidden;
  const m = math(b);
  const [f, g] = direction.activations as [Activate, Activate];
  const clip = clipped(call);
  const linearFirst = call.int("linear_before_reset", 0) !== 0;
  const [wGates, wNew] = split(b, direction.w, [2 * n, n], 0) as [string, string];
  const [rGates, rNew] = split(b, direction.r, [2 * n, n], 0) as [string, string];
  const [wbGates, wbNew, rbGates, rbNew] = bias ? split(b, bias, [2 * n, n, 2 * n, n], 0) : [];
  const inBias = wbNew && rbNew && !linearFirst ? m.add(wbNew, rbNew) : wbNew;
  const gateInputs = stepInputs(direction, wGates, wbGates && rbGates ? m.add(wbGates, rbGates) : undefined);
  const newInputs = stepInputs(direction, wNew, inBias);
  return (step, { h }) => {
    const x = gateInputs[step] as string;
    const [z, r] = split(b, f(clip(h ? affine(b, h, rGates, x) : x)), [n, n], 1) as [string, string];
    const xNew = newInputs[step] as string;
    const before = (): string => {
      if (linearFirst) {
        const linear = h ? affine(b, h, rNew, rbNew) : rbNew;
        return linear ? m.add(xNew, m.mul(r, linear)) : xNew;
      }
      return h ? affine(b, m.mul(r, h), rNew, xNew) : xNew;
    };
    const made = g(clip(before()));
    return { h: h ? m.add(made, m.mul(z, m.sub(h, made))) : m.mul(m.sub(1, z), made), c: undefined };
  };
};
