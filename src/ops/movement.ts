import { NodeError } from "../graph/errors.js";
import { int, ints, type TensorType, text } from "../graph/graph.js";
import { attributesToInputs, listOf, native, noFlops, ofOutput0, sameType, type Traits } from "./kinds.js";
import {
  concatOfModels,
  expandOfModels,
  sliceOfModels,
  splitOfModels,
  tileOfModels,
  transposeOfModels,
} from "./movement-over-models.js";
import type { Cut, GradientRule, Op, OpCall, OpTable, PartialGradient } from "./op.js";
import { asOneBatch, modelsFirst } from "./over-models.js";
import { axisOf, broadcastShape, normalizeAxis, reduceTo, reshape } from "./shapes.js";

/** An op that moves elements without computing. */
const moving = (infer: Op["infer"], gradient: Op["gradient"], traits: Traits = {}): Op =>
  native(infer, gradient, { flops: noFlops, in16Bits: "moves", ...traits });

/** What a Slice takes from each of its axes, bounds clamped as ONNX says. */
function slices(call: OpCall): Cut[] {
  const { shape } = call.input(0);
  const [starts, ends] = [listOf(call, 1, "starts"), listOf(call, 2, "ends")];
  const axes = (call.inputs[3] ? call.need(3) : call.ints("axes")) ?? starts.map((_, i) => i);
  const steps = call.inputs[4] ? call.need(4) : starts.map(() => 1);
  if ([ends, axes, steps].some(({ length }) => length !== starts.length))
    throw new NodeError(
      `shape mismatch: ${starts.length} starts, ${ends.length} ends, ${axes.length} axes, ${steps.length} steps of Slice`,
      call.node,
    );
  return starts.map((from, i) => {
    const axis = normalizeAxis(axes[i] as number, shape.length);
    const size = shape[axis] as number;
    const given = steps[i] as number;
    // one that leads beyond the axis is as good as one of its size
    const step = Math.sign(given) * Math.min(Math.abs(given), Math.max(size, 1));
    if (step === 0) throw new NodeError(`step 0: Slice`, call.node);
    const clamp = (at: number, low: number, high: number): number =>
      Math.min(Math.max(at < 0 ? at + size : at, low), high);
    const start = step > 0 ? clamp(from, 0, size) : clamp(from, 0, size - 1);
    const end = step > 0 ? clamp(ends[i] as number, 0, size) : clamp(ends[i] as number, -1, size - 1);
    return { axis, start, step, count: Math.max(0, Math.ceil((end - start) / step)) };
  });
}

/** Sizes of a Split's parts. */
function partSizes(call: OpCall): readonly number[] {
  const size = call.input(0).shape[axisOf(call, 0)] as number;
  const given = call.inputs[1] ? call.need(1) : call.ints("split");
  const count = call.int("num_outputs", call.outputCount);
  if (count > call.outputCount || (given && given.length < call.outputCount))
    throw new NodeError(`Split makes ${given?.length ?? count} parts, the node names ${call.outputCount}`, call.node);
  const each = Math.ceil(size / count);
  const sizes = given ?? Array.from({ length: count }, (_, i) => Math.min(each, size - i * each));
  if (sizes.reduce((sum, n) => sum + n, 0) !== size || sizes.some((n) => n < 0))
    throw new NodeError(`shape mismatch: ${sizes.length} parts [${sizes.slice(0, 8)}] of ${size}`, call.node);
  return sizes;
}

/** What a Split's parts are of the whole. */
function partCuts(call: OpCall): Cut[] {
  const axis = axisOf(call, 0);
  let start = 0;
  return partSizes(call).map((count) => {
    const cut = { axis, start, step: 1, count };
    start += count;
    return cut;
  });
}

/** Sizes of input 0, which must have four axes and a block size. */
function imageOf(call: OpCall): readonly [number, number, number, number] {
  const { shape } = call.input(0);
  if (shape.length !== 4 || call.int("blocksize", 0) < 1)
    throw new Error(
      `shape mismatch: [${shape}] in blocks of ${call.int("blocksize", 0)} (op ${call.node.op}, node ${call.node.name})`,
    );
  return shape as unknown as readonly [number, number, number, number];
}

/** Ops that give elements another place. */
export const movement: OpTable = {
  Transpose: moving(
    (call) => {
      const { dtype, shape } = call.input(0);
      const perm = call.ints("perm") ?? shape.map((_, axis) => shape.length - 1 - axis);
      if (perm.length !== shape.length || new Set(perm).size !== perm.length || perm.some((at) => !(at in shape)))
        throw new NodeError(`shape mismatch: perm [${perm}] for [${shape}]`, call.node);
      return [{ dtype, shape: perm.map((axis) => shape[axis] as number) }];
    },
    ofOutput0((call, dY) => {
      const { shape } = call.input(0);
      const perm = call.ints("perm") ?? shape.map((_, axis) => shape.length - 1 - axis);
      return [call.b.op("Transpose", [dY], { perm: ints(perm.map((_, axis) => perm.indexOf(axis))) })];
    }),
    { passes: true, empty: true, in16Bits: "all", rearranges: true, overModels: transposeOfModels },
  ),
  Concat: moving(
    (call) => {
      const first = call.input(0);
      const axis = axisOf(call, 0);
      const shape = [...first.shape];
      shape[axis] = 0;
      call.inputs.forEach((input, i) => {
        const fits = input?.shape.length === shape.length && input.shape.every((n, a) => a === axis || n === shape[a]);
        if (!input || !fits)
          throw new Error(
            `shape mismatch: [${input?.shape}] beside [${first.shape}], axis ${axis} (input ${i}, node ${call.node.name})`,
          );
        shape[axis] = (shape[axis] as number) + (input.shape[axis] as number);
      });
      return [{ dtype: first.dtype, shape }];
    },
    ofOutput0((call, dY) => {
      const axis = axisOf(call, 0);
      const sizes = call.inputs.map((input) => input?.shape[axis] as number);
      if (sizes.length === 1) return [dY];
      return call.b.add("Split", [dY, call.b.vector(sizes)], { axis: int(axis) }, { count: sizes.length });
    }),
    {
      passes: true,
      inputTypes: "equal",
      axesIn: "axis",
      empty: true,
      in16Bits: "all",
      rearranges: true,
      overModels: concatOfModels,
    },
  ),
  Split: moving(
    (call) => {
      const { dtype, shape } = call.input(0);
      const axis = axisOf(call, 0);
      return partSizes(call).map((size) => ({ dtype, shape: shape.map((n, a) => (a === axis ? size : n)) }));
    },
    ((call) => {
      const parts = partCuts(call).flatMap((cut, i): PartialGradient[] => {
        const gradient = call.dy(i);
        return gradient ? [{ gradient, cuts: [cut] }] : [];
      });
      return [parts];
    }) satisfies GradientRule,
    {
      axesIn: "axis",
      hostInputs: [1],
      overModels: splitOfModels,
      takes: (call) => partCuts(call).map((cut) => [cut]),
      // a kernel of opset 18 wants the parts' sizes or their number
      normalize: (call) => {
        if (call.inputs[1]) return undefined;
        return call.b.add(
          "Split",
          [call.x(0), call.b.vector(partSizes(call))],
          { axis: int(axisOf(call, 0)) },
          {
            name: call.node.name,
            count: call.outputCount,
          },
        );
      },
    },
  ),
  Slice: moving(
    (call) => {
      const { dtype } = call.input(0);
      const shape = [...call.input(0).shape];
      for (const { axis, count } of slices(call)) shape[axis] = count;
      return [{ dtype, shape }];
    },
    ofOutput0((call, dY) => [{ gradient: dY, cuts: slices(call) }]),
    {
      passes: true,
      empty: true,
      axesIn: { axes: 3 },
      hostInputs: [1, 2, 3, 4],
      overModels: (call) => sliceOfModels(call, slices(call)),
      takes: (call) => [slices(call)],
      types: { T: 0, Tind: 1 },
      normalize: attributesToInputs("starts", "ends", "axes"),
    },
  ),
  Expand: moving(
    (call): TensorType[] => {
      const { dtype, shape } = call.input(0);
      return [{ dtype, shape: broadcastShape(shape, call.need(1)) }];
    },
    ofOutput0((call, dY) => [reduceTo(call.b, dY, call.input(0).shape)]),
    { passes: true, axesIn: { each: 1 }, hostInputs: [1], overModels: expandOfModels },
  ),
  Tile: moving(
    (call) => {
      const { dtype, shape } = call.input(0);
      const repeats = call.need(1);
      if (repeats.length !== shape.length)
        throw new NodeError(`shape mismatch: repeats [${repeats}] for [${shape}]`, call.node);
      return [{ dtype, shape: shape.map((n, axis) => n * (repeats[axis] as number)) }];
    },
    ofOutput0((call, dY) => {
      const { shape } = call.input(0);
      const repeats = call.need(1);
      const split = reshape(
        call.b,
        dY,
        shape.flatMap((n, axis) => [repeats[axis] as number, n]),
      );
      const sum = call.b.op("ReduceSum", [split, call.b.vector(shape.map((_, axis) => 2 * axis))], {
        keepdims: int(0),
      });
      return [shape.length ? sum : dY];
    }),
    { hostInputs: [1], types: { T: 0, T1: 1 }, overModels: tileOfModels },
  ),
  /** The elements on and below (above, if `upper`) a diagonal; the others become 0. */
  Trilu: moving(
    (call) => {
      if (call.input(0).shape.length < 2)
        throw new NodeError(`shape mismatch: Trilu of [${call.input(0).shape}]`, call.node);
      return sameType(call);
    },
    ofOutput0((call, dY) => [
      call.b.op("Trilu", call.inputs[1] ? [dY, call.x(1)] : [dY], { upper: int(call.int("upper", 1)) }),
    ]),
    { hostInputs: [1], overModels: modelsFirst, defaults: { upper: int(1) } },
  ),
  DepthToSpace: moving(
    (call) => {
      const { dtype } = call.input(0);
      const [n, c, h, w] = imageOf(call);
      const block = call.int("blocksize", 0);
      if (c % block ** 2) throw new NodeError(`shape mismatch: ${c} channels for blocks of ${block}`, call.node);
      return [{ dtype, shape: [n, c / block ** 2, h * block, w * block] }];
    },
    ofOutput0((call, dY) => {
      const { b } = call;
      const [n, c, h, w] = imageOf(call);
      const block = call.int("blocksize", 0);
      if (call.text("mode", "DCR") === "DCR") return [b.op("SpaceToDepth", [dY], { blocksize: int(block) })];
      // SpaceToDepth puts a block's place before the channel, CRD has it after the channel
      const split = reshape(b, dY, [n, c / block ** 2, h, block, w, block]);
      return [reshape(b, b.op("Transpose", [split], { perm: ints([0, 1, 3, 5, 2, 4]) }), [n, c, h, w])];
    }),
    { choices: { mode: ["DCR", "CRD"] }, defaults: { mode: text("DCR") }, rearranges: true, overModels: asOneBatch() },
  ),
  SpaceToDepth: moving(
    (call) => {
      const { dtype } = call.input(0);
      const [n, c, h, w] = imageOf(call);
      const block = call.int("blocksize", 0);
      if (h % block || w % block) throw new NodeError(`shape mismatch: [${h},${w}] for blocks of ${block}`, call.node);
      return [{ dtype, shape: [n, c * block ** 2, h / block, w / block] }];
    },
    ofOutput0((call, dY) => [call.b.op("DepthToSpace", [dY], { blocksize: int(call.int("blocksize", 0)) })]),
    { rearranges: true, overModels: asOneBatch() },
  ),
};
