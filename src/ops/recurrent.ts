import { NodeError } from "../graph/errors.js";
import { type Attributes, elementCount, float, int, ints, type TensorType } from "../graph/graph.js";
import { type Activate, type Cell, gruCell, lstmCell, rnnCell, type Sizes, type State, split } from "./cells.js";
import { composite } from "./composite.js";
import { math } from "./math.js";
import type { Body, BodyCall, Op, OpCall, OpTable } from "./op.js";
import { cast, reshape } from "./shapes.js";

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
function activationsOf(call: BodyCall, defaults: readonly string[]): Activate[] {
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
    if (!op) throw new NodeError(`unsupported: activation ${name} of ${call.node.op}`, call.node);
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
  if (!Object.hasOwn(directions, direction)) throw new NodeError(`unsupported: direction ${direction}`, call.node);
  const list = directions[direction as keyof typeof directions];
  const hidden = r[2] ?? 0;
  const features = x[2] ?? 0;
  const [first, second] = [x[0] ?? 0, x[1] ?? 0];
  const fits =
    x.length === 3 &&
    w.join() === [list.length, gates * hidden, features].join() &&
    r.join() === [list.length, gates * hidden, hidden].join();
  if (!fits) throw new Error(`shape mismatch: X [${x}], W [${w}], R [${r}] (op ${op}, node ${name})`);
  const said = call.int("hidden_size", hidden);
  if (said !== hidden)
    throw new NodeError(`shape mismatch: hidden_size=${said} of ${op} with R [${r}], which has ${hidden}`, call.node);
  if (elementCount(x) === 0 || hidden === 0) throw new Error(`empty sequence: X [${x}] (op ${op}, node ${name})`);
  const [steps, batch] = batchFirst ? [second, first] : [first, second];
  const d = list.length;
  const state = batchFirst ? [batch, d, hidden] : [d, batch, hidden];
  const wanted = { 3: [d, 2 * gates * hidden], 5: state, 6: state, 7: [d, 3 * hidden] };
  for (const [index, shape] of Object.entries(wanted)) {
    const given = call.inputs[Number(index)]?.shape;
    if (given && given.join() !== shape.join())
      throw new NodeError(`shape mismatch: input ${index} of ${op} is [${given}], not [${shape}]`, call.node);
  }
  return { steps, batch, features, hidden, directions: list, batchFirst };
}

/** For each step which sequences reach it, [batch, 1]: as bools to choose by, and as numbers to multiply by. */
interface Reach {
  readonly chosen: readonly string[];
  readonly factors: readonly string[];
}

/** undefined if every sequence is known to have all steps. */
function reachOf(call: BodyCall, { steps, batch }: Sizes): Reach | undefined {
  if (!call.inputs[4] || call.constant(4)?.every((length) => length === steps)) return undefined;
  const { b } = call;
  const { dtype, shape } = call.input(4);
  if (shape.join() !== String(batch))
    throw new NodeError(`shape mismatch: lengths [${shape}] of ${batch} sequences`, call.node);
  const order = b.constant(
    dtype,
    [steps, 1],
    Array.from({ length: steps }, (_, i) => i),
  );
  const mask = reshape(b, math(b).less(order, reshape(b, call.x(4), [1, batch])), [steps * batch, 1]);
  const parts = (x: string): string[] => split(b, x, new Array<number>(steps).fill(batch), 0);
  return { chosen: parts(mask), factors: parts(cast(b, mask, call.input(0).dtype)) };
}

/** A step that leaves the state of sequences that have ended as it is, and the step's output, zero for these. */
function masked(
  { b }: BodyCall,
  { chosen, factors }: Reach,
  step: number,
  before: State,
  made: State,
): { state: State; y: string | undefined } {
  const m = math(b);
  const [mask, factor] = [chosen[step] as string, factors[step] as string];
  const kept = (old: string | undefined, fresh: string | undefined): string | undefined => {
    if (!fresh) return undefined;
    return old ? m.where(mask, fresh, old) : m.mul(fresh, factor);
  };
  const state = { h: kept(before.h, made.h), c: kept(before.c, made.c) };
  return { state, y: before.h && made.h ? m.mul(made.h, factor) : state.h };
}

/** Slices of a tensor's first axis, one for each direction, without that axis. */
function perDirection(call: BodyCall, index: number, count: number): (string | undefined)[] {
  if (!call.inputs[index]) return new Array<undefined>(count).fill(undefined);
  const { b } = call;
  const shape = call.input(index).shape.slice(1);
  if (count === 1) return [reshape(b, call.x(index), shape)];
  const parts = b.add("Split", [call.x(index), b.vector([1, 1])], { axis: int(0) }, { count });
  return parts.map((part) => reshape(b, part, shape));
}

/** Initial states, one for each direction; undefined where they are zero. */
function initialStates(call: BodyCall, index: number, { directions, batchFirst }: Sizes): (string | undefined)[] {
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

/** Most nodes of one layer that are written out, as of a loop: a step makes at least one for each gate and one more. */
const mostNodes = 100_000;

/** Writes a recurrent node out step by step. Throws `LSTM of 1000000 steps: …` for too many. */
const unrolled =
  (gates: number, defaults: readonly string[], cell: Cell): Body =>
  (call) => {
    const { b, node } = call;
    const sizes = sizesOf(call, gates);
    const { steps, batch, features, hidden, directions, batchFirst } = sizes;
    const mostSteps = Math.floor(mostNodes / (directions.length * (gates + 1)));
    if (steps > mostSteps)
      throw new NodeError(`${node.op} of ${steps} steps: at most ${mostSteps} are written out (bind less)`, node);
    const reach = reachOf(call, sizes);
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
      const made: (string | undefined)[] = [];
      let state: State = { h: h[d], c: c[d] };
      for (const step of order) {
        const after = next(step, state);
        const ended = reach && masked(call, reach, step, state, after);
        made[step] = ended ? ended.y : after.h;
        state = ended?.state ?? after;
      }
      return { made, last: state };
    });
    const joined = (parts: readonly string[]): string =>
      parts.length === 1 ? (parts[0] as string) : b.op("Concat", parts, { axis: int(0) });
    const turned = (y: string, perm: readonly number[]): string =>
      batchFirst ? b.op("Transpose", [y], { perm: ints(perm) }) : y;
    const everyStep = (): string => {
      const parts = Array.from({ length: steps }, (_, step) => states.map(({ made }) => made[step] as string)).flat();
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
      choices: { direction: ["forward", "reverse", "bidirectional"] },
      // states that lie in the file itself are mostly zeros that an exporter has folded: not to be trained
      buffers: { 5: "initial state", 6: "initial state" },
      learnable: [5, 6],
      holds: { 1: "weight", 2: "weight", 3: "weight", 7: "weight" },
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
