import type { Builder } from "../build.js";
import { type Attributes, elementCount, float, int, ints, type TensorType } from "../graph.js";
import { type CompositeCall, type Composition, composite } from "./composite.js";
import { math } from "./math.js";
import type { Op, OpCall, OpTable } from "./op.js";
import { reshape } from "./shapes.js";

/** One activation function, as the nodes that compute it. */
type Activate = (x: string) => string;

interface Sizes {
  readonly steps: number;
  readonly batch: number;
  readonly features: number;
  readonly hidden: number;
  readonly directions: readonly ("forward" | "reverse")[];
  /** Batch before steps, as attribute `layout` says. */
  readonly batchFirst: boolean;
}

/** What one direction of a node computes with; W, R and biases without the directions' axis. */
interface Direction {
  readonly b: Builder;
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
interface State {
  readonly h: string | undefined;
  readonly c: string | undefined;
}

/** Prepares what all steps share and gives the function from a step and its state to the next state. */
type Cell = (call: CompositeCall, direction: Direction) => (step: number, state: State) => State;

const functionNames: Readonly<Record<string, readonly ("alpha" | "beta")[]>> = {
  Relu: [],
  Tanh: [],
  Sigmoid: [],
  Softsign: [],
  Softplus: [],
  LeakyRelu: ["alpha"],
  ThresholdedRelu: ["alpha"],
  Elu: ["alpha"],
  HardSigmoid: ["alpha", "beta"],
  Affine: ["alpha", "beta"],
  ScaledTanh: ["alpha", "beta"],
};

const listAttribute = (call: OpCall, name: string): readonly number[] => {
  const found = call.node.attributes[name];
  return found?.type === "floats" ? found.value : [];
};

/** The activation functions of all directions in order. Throws `unsupported: activation …`. */
function activationsOf(call: CompositeCall, defaults: readonly string[]): Activate[] {
  const given = call.node.attributes.activations;
  const names = given?.type === "strings" && given.value.length ? given.value : [...defaults, ...defaults];
  const values = {
    alpha: [...listAttribute(call, "activation_alpha")],
    beta: [...listAttribute(call, "activation_beta")],
  };
  const { b } = call;
  const m = math(b);
  return names.map((name): Activate => {
    const op = Object.keys(functionNames).find((known) => known.toLowerCase() === name.toLowerCase());
    if (!op) throw new Error(`unsupported: activation ${name} of ${call.node.op} (node ${call.node.name})`);
    const own: Record<string, number> = {};
    for (const parameter of functionNames[op] ?? []) {
      const value = values[parameter].shift();
      if (value !== undefined) own[parameter] = value;
    }
    if (op === "Affine") return (x) => m.add(m.mul(x, own.alpha ?? 1), own.beta ?? 0);
    if (op === "ScaledTanh") return (x) => m.mul(m.tanh(m.mul(x, own.beta ?? 1)), own.alpha ?? 1);
    const attributes: Attributes = Object.fromEntries(Object.entries(own).map(([key, value]) => [key, float(value)]));
    return (x) => b.op(op, [x], attributes);
  });
}

/** Throws `shape mismatch: …` for weights that do not fit, `unsupported: …` for a direction that does not exist. */
function sizesOf(call: OpCall, gates: number): Sizes {
  const { op, name } = call.node;
  const [x, w, r] = [0, 1, 2].map((i) => call.input(i).shape) as [
    readonly number[],
    readonly number[],
    readonly number[],
  ];
  const batchFirst = call.int("layout", 0) === 1;
  const direction = call.text("direction", "forward");
  const directions = { forward: ["forward"], reverse: ["reverse"], bidirectional: ["forward", "reverse"] } as const;
  if (!Object.hasOwn(directions, direction)) throw new Error(`unsupported: direction ${direction} (node ${name})`);
  const list = directions[direction as keyof typeof directions];
  const hidden = r[2] ?? 0;
  const features = x[2] ?? 0;
  const [first, second] = [x[0] ?? 0, x[1] ?? 0];
  const fits =
    x.length === 3 &&
    w.join() === [list.length, gates * hidden, features].join() &&
    r.join() === [list.length, gates * hidden, hidden].join();
  if (!fits) throw new Error(`shape mismatch: X [${x}], W [${w}], R [${r}] (op ${op}, node ${name})`);
  if (elementCount(x) === 0 || hidden === 0) throw new Error(`empty sequence: X [${x}] (op ${op}, node ${name})`);
  const [steps, batch] = batchFirst ? [second, first] : [first, second];
  return { steps, batch, features, hidden, directions: list, batchFirst };
}

/** Throws unless every sequence is known to have all steps. */
function checkLengths(call: OpCall, { steps }: Sizes): void {
  if (!call.inputs[4] || call.constant(4)?.every((length) => length === steps)) return;
  const what = call.constant(4) ? `[${call.constant(4)}] of ${steps}` : call.node.inputs[4];
  throw new Error(`unsupported: sequence lengths ${what} (op ${call.node.op}, node ${call.node.name})`);
}

/** Slices of a tensor's first axis, one for each direction, without that axis. */
function perDirection(call: CompositeCall, index: number, count: number): (string | undefined)[] {
  if (!call.inputs[index]) return new Array<undefined>(count).fill(undefined);
  const { b } = call;
  const shape = call.input(index).shape.slice(1);
  if (count === 1) return [reshape(b, call.x(index), shape)];
  const parts = b.add("Split", [call.x(index), b.vector([1, 1])], { axis: int(0) }, { count });
  return parts.map((part) => reshape(b, part, shape));
}

/** Initial states, one for each direction; undefined where they are zero. */
function initialStates(call: CompositeCall, index: number, { directions, batchFirst }: Sizes): (string | undefined)[] {
  const isZero = !call.inputs[index] || call.constant(index)?.every((value) => value === 0);
  if (isZero) return directions.map(() => undefined);
  if (!batchFirst) return perDirection(call, index, directions.length);
  const turned = call.b.op("Transpose", [call.x(index)], { perm: ints([1, 0, 2]) });
  const type = call.b.type(turned);
  const inputs = call.inputs.with(index, type);
  return perDirection(
    {
      ...call,
      inputs,
      input: (i) => (i === index ? type : call.input(i)),
      x: (i) => (i === index ? turned : call.x(i)),
    },
    index,
    directions.length,
  );
}

const split = (b: Builder, x: string, sizes: readonly number[], axis: number): string[] =>
  sizes.length === 1 ? [x] : b.add("Split", [x, b.vector(sizes)], { axis: int(axis) }, { count: sizes.length });

/** x·Mᵀ + c: one product, the bias or what is already there in the same node. */
const affine = (b: Builder, x: string, matrix: string, c: string | undefined): string =>
  b.op("Gemm", c === undefined ? [x, matrix] : [x, matrix, c], { transB: int(1) });

/** X·Wᵀ + bias for all steps in one product, cut into the steps. */
function stepInputs({ b, x, sizes }: Direction, w: string, bias: string | undefined): string[] {
  return split(b, affine(b, x, w, bias), new Array<number>(sizes.steps).fill(sizes.batch), 0);
}

/** Bounds what goes into an activation function, if attribute `clip` is given. */
const clipped = (call: CompositeCall): Activate => {
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
const rnnCell: Cell = (call, direction) => {
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
const lstmCell: Cell = (call, direction) => {
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
const gruCell: Cell = (call, direction) => {
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

/** Writes a recurrent node out step by step. */
const unrolled =
  (gates: number, defaults: readonly string[], cell: Cell): Composition =>
  (call) => {
    const { b, node } = call;
    const sizes = sizesOf(call, gates);
    const { steps, batch, features, hidden, directions, batchFirst } = sizes;
    checkLengths(call, sizes);
    const all = activationsOf(call, defaults);
    const inOrder = batchFirst ? b.op("Transpose", [call.x(0)], { perm: ints([1, 0, 2]) }) : call.x(0);
    const x = reshape(b, inOrder, [steps * batch, features]);
    const [w, r, bias, peepholes] = [1, 2, 3, 7].map((i) => perDirection(call, i, directions.length));
    const h = initialStates(call, 5, sizes);
    const c = initialStates(call, 6, sizes);
    const states = directions.map((direction, d) => {
      const activations = all.slice(d * defaults.length, (d + 1) * defaults.length);
      if (activations.length < defaults.length)
        throw new Error(`too few activations: ${all.length} (op ${node.op}, node ${node.name})`);
      const next = cell(call, {
        b,
        sizes,
        x,
        w: w?.[d] as string,
        r: r?.[d] as string,
        bias: bias?.[d],
        peepholes: peepholes?.[d],
        h: h[d],
        c: c[d],
        activations,
      });
      const order = Array.from({ length: steps }, (_, i) => (direction === "reverse" ? steps - 1 - i : i));
      const made: State[] = [];
      let state: State = { h: h[d], c: c[d] };
      for (const step of order) {
        state = next(step, state);
        made[step] = state;
      }
      return { made, last: state };
    });
    const joined = (parts: readonly string[]): string =>
      parts.length === 1 ? (parts[0] as string) : b.op("Concat", parts, { axis: int(0) });
    const turned = (y: string, perm: readonly number[]): string =>
      batchFirst ? b.op("Transpose", [y], { perm: ints(perm) }) : y;
    const everyStep = (): string => {
      const parts = Array.from({ length: steps }, (_, step) =>
        states.map(({ made }) => made[step]?.h as string),
      ).flat();
      return turned(reshape(b, joined(parts), [steps, directions.length, batch, hidden]), [2, 0, 1, 3]);
    };
    const last = (which: "h" | "c"): string => {
      const parts = states.map((state) => state.last[which] as string);
      return turned(reshape(b, joined(parts), [directions.length, batch, hidden]), [1, 0, 2]);
    };
    return [
      node.outputs[0] ? everyStep() : "",
      node.outputs[1] ? last("h") : "",
      ...(node.outputs[2] ? [last("c")] : []),
    ];
  };

/** A recurrent layer, written out step by step. */
const recurrentOp = (gates: number, defaults: readonly string[], cell: Cell): Op =>
  composite(
    (call): TensorType[] => {
      const { steps, batch, hidden, directions, batchFirst } = sizesOf(call, gates);
      const { dtype } = call.input(0);
      const d = directions.length;
      const last = { dtype, shape: batchFirst ? [batch, d, hidden] : [d, batch, hidden] };
      return [{ dtype, shape: batchFirst ? [batch, steps, d, hidden] : [steps, d, batch, hidden] }, last, last];
    },
    unrolled(gates, defaults, cell),
    {
      hostInputs: [4],
      // states that lie in the file itself are zeros that an exporter has folded: not to be trained
      buffers: [5, 6],
      flops: (call) => {
        const { steps, batch, hidden, features, directions } = sizesOf(call, gates);
        return 2 * directions.length * steps * batch * gates * hidden * (features + hidden);
      },
    },
  );

/** Recurrent layers. */
export const recurrent: OpTable = {
  RNN: recurrentOp(1, ["Tanh"], rnnCell),
  LSTM: recurrentOp(4, ["Sigmoid", "Tanh", "Tanh"], lstmCell),
  GRU: recurrentOp(3, ["Sigmoid", "Tanh"], gruCell),
};
