import { NodeError } from "../graph/errors.js";
import { elementCount, int } from "../graph/graph.js";
import type { Emit } from "./emit.js";
import { listOf, native, noFlops, ofOutput0 } from "./kinds.js";
import type { ModelsRule, OpCall, OpTable } from "./op.js";
import { oneAfterAnother, outputsAt, withModels } from "./over-models.js";
import { normalizeAxis, reshape, sumOver } from "./shapes.js";

/** Begin and end pads of every axis; negative ones cut off. */
function padsOf(call: OpCall): { begin: number[]; end: number[] } {
  const { shape } = call.input(0);
  const pads = listOf(call, 1, "pads");
  const axes = call.inputs[3] ? call.need(3).map((axis) => normalizeAxis(axis, shape.length)) : shape.map((_, i) => i);
  if (pads.length !== 2 * axes.length) throw new NodeError(`shape mismatch: pads [${pads}] for [${shape}]`, call.node);
  const begin = shape.map(() => 0);
  const end = shape.map(() => 0);
  axes.forEach((axis, i) => {
    begin[axis] = pads[i] as number;
    end[axis] = pads[i + axes.length] as number;
  });
  return { begin, end };
}

/** Where in an axis of `size` elements the value `at` elements after its start comes from. */
const sources: Readonly<Record<string, (at: number, size: number) => number>> = {
  edge: (at, size) => Math.min(Math.max(at, 0), size - 1),
  wrap: (at, size) => ((at % size) + size) % size,
  reflect: (at, size) => {
    const period = Math.max(1, 2 * (size - 1));
    const phase = ((at % period) + period) % period;
    return Math.min(phase, period - phase);
  },
};

/** The most elements that a side of an axis of `size` can be padded with, by a mode that repeats the axis' own. */
const mirrored = (mode: string, size: number): number =>
  size === 0 ? 0 : mode === "reflect" ? size - 1 : mode === "wrap" ? size : Number.POSITIVE_INFINITY;

/** Neighbouring elements of a padded axis that come from one element (step 0), or from neighbours (1 or -1). */
interface Run {
  readonly first: number;
  readonly count: number;
  readonly source: number;
  readonly step: number;
}

function runsOf(from: readonly number[]): Run[] {
  const runs: Run[] = [];
  for (let first = 0; first < from.length; ) {
    const source = from[first] as number;
    const ahead = (from[first + 1] ?? source + 2) - source;
    const step = Math.abs(ahead) <= 1 ? ahead : 1;
    let count = 1;
    while (first + count < from.length && from[first + count] === source + count * step) count++;
    runs.push({ first, count, source, step });
    first += count;
  }
  return runs;
}

/** dX along one axis: each run of dY, turned round or summed, added where it came from. */
function unpadded(b: Emit, dY: string, axis: number, size: number, from: readonly number[]): string {
  const { shape } = b.type(dY);
  const parts = runsOf(from).map(({ first, count, source, step }) => {
    const [start, end] = step < 0 ? [first + count - 1, first - 1] : [first, first + count];
    // an end before the first element is what ONNX writes as a number far below zero
    const bounds = [start, end < 0 ? -(2 ** 31) : end].map((at) => b.vector([at]));
    const cut = b.op("Slice", [dY, ...bounds, b.vector([axis]), b.vector([step || 1])]);
    const part = step === 0 ? sumOver(b, cut, [axis]) : cut;
    const width = step === 0 ? 1 : count;
    const before = step < 0 ? source - count + 1 : source;
    const pads = [...shape.map((_, a) => (a === axis ? before : 0))];
    return b.op("Pad", [part, b.vector([...pads, ...pads.map((_, a) => (a === axis ? size - before - width : 0))])]);
  });
  return parts.reduce((sum, part) => b.op("Add", [sum, part]));
}

/** Padding of the models' tensors as one: between models nothing is padded. */
const paddedOverModels: ModelsRule = (call) => {
  const { begin, end } = padsOf(call);
  const at = call.at(0) ?? 0;
  if (call.at(2) !== undefined) return undefined;
  const isOne = at === 1 && !begin[1] && !end[1];
  const { shape } = call.input(0);
  const x = isOne ? call.joint(0, 1, oneAfterAnother(shape, call.models, 1)) : call.joint(0, at);
  const pads = isOne ? [...begin, ...end] : [begin, end].flatMap((list) => withModels(list, 0, at));
  const filler = call.inputs[2] && call.x(2);
  const list = call.b.vector(pads);
  return outputsAt(call.again(filler ? [x, list, filler] : [x, list]), at);
};

/** Padding, by zeros or by elements of the tensor itself. */
export const padding: OpTable = {
  Pad: native(
    (call) => {
      const { dtype, shape } = call.input(0);
      const { begin, end } = padsOf(call);
      const padded = shape.map((n, axis) => n + (begin[axis] as number) + (end[axis] as number));
      const mode = call.text("mode", "constant");
      const beyond = (axis: number): boolean =>
        mode !== "constant" &&
        Math.max(begin[axis] as number, end[axis] as number) > mirrored(mode, shape[axis] as number);
      if (padded.some((n, axis) => n < 0 || beyond(axis)))
        throw new NodeError(`shape mismatch: pads [${begin},${end}] for [${shape}]`, call.node);
      return [{ dtype, shape: padded }];
    },
    ofOutput0((call, dY) => {
      const { b } = call;
      const mode = call.text("mode", "constant");
      const { begin, end } = padsOf(call);
      if (mode === "constant") {
        const dX = b.op("Pad", [dY, b.vector([...begin, ...end].map((n) => -n))]);
        if (!call.wants(2)) return [dX];
        // dY where Y is padding: without what X's elements get
        const ofX = b.op("Pad", [dX, b.vector([...begin, ...end])]);
        const sum = b.op("ReduceSum", [b.op("Sub", [dY, ofX])], { keepdims: int(0) });
        return [dX, undefined, reshape(b, sum, call.input(2).shape)];
      }
      const source = Object.hasOwn(sources, mode) ? sources[mode] : undefined;
      const { shape } = call.input(0);
      if (!source || elementCount(shape) === 0)
        throw new NodeError(`no gradient: Pad mode=${mode} of [${shape}]`, call.node);
      return [
        shape.reduce((gradient, size, axis) => {
          const [before, after] = [begin[axis] as number, end[axis] as number];
          if (before === 0 && after === 0) return gradient;
          const from = Array.from({ length: before + size + after }, (_, i) => source(i - before, size));
          return unpadded(b, gradient, axis, size, from);
        }, dY),
      ];
    }),
    {
      flops: noFlops,
      empty: true,
      in16Bits: "moves",
      axesIn: { each: 1, axes: 3 },
      overModels: paddedOverModels,
      hostInputs: [1, 2, 3],
      choices: { mode: ["constant", "reflect", "edge", "wrap"] },
      // before opset 11 pads and value are attributes
      normalize: (call) => {
        const pads = call.ints("pads");
        if (!pads) return undefined;
        const { b, x, node } = call;
        const { pads: _, value, ...attributes } = node.attributes;
        const filler = value && b.scalar(call.float("value", 0), x(0));
        return [b.op("Pad", [x(0), b.vector(pads), filler], attributes, { name: node.name })];
      },
    },
  ),
};
