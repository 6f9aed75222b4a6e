import { NodeError } from "../graph/errors.js";
import { elementCount } from "../graph/graph.js";
import { attributesToInputs, native, noFlops, ofOutput0, sameType, type Traits } from "./kinds.js";
import type { Op, OpCall, OpTable } from "./op.js";
import { otherShape } from "./over-models.js";
import { normalizeAxes, reshape } from "./shapes.js";

/** Another shape for the same elements: the gradient takes the input's shape again. */
const view = (shape: (call: OpCall) => readonly number[], traits: Traits = {}): Op =>
  native(
    (call) => {
      const { dtype } = call.input(0);
      const wanted = shape(call);
      if (elementCount(wanted) !== elementCount(call.input(0).shape))
        throw new NodeError(`shape mismatch: [${wanted}] for the elements of [${call.input(0).shape}]`, call.node);
      return [{ dtype, shape: wanted }];
    },
    ofOutput0((call, dY) => [reshape(call.b, dY, call.input(0).shape)]),
    {
      view: true,
      in16Bits: "all",
      rearranges: true,
      flops: noFlops,
      hostInputs: [1],
      overModels: otherShape,
      ...traits,
    },
  );

/** Axes as an input (opset 13) or an attribute (before it). */
const axesOf = (call: OpCall): readonly number[] | undefined => (call.inputs[1] ? call.need(1) : call.ints("axes"));

/** Ops that show the storage of their input under another shape or name. */
export const views: OpTable = {
  Identity: native(
    sameType,
    ofOutput0((_, dY) => [dY]),
    { view: true, alias: true, pointwise: true, in16Bits: "all", rearranges: true, flops: noFlops, types: { V: 0 } },
  ),
  Reshape: view((call) => {
    const { shape } = call.input(0);
    const wanted = call.need(1).map((n, i) => (n === 0 && !call.int("allowzero", 0) ? (shape[i] ?? 0) : n));
    const known = wanted.reduce((product, n) => (n === -1 ? product : product * n), 1);
    return wanted.map((n) => (n === -1 ? (known === 0 ? 0 : elementCount(shape) / known) : n));
  }),
  /** Rows `start` to `start + count` of axis 0. */
  "mutwo:Rows": native(
    (call) => {
      const { dtype, shape } = call.input(0);
      const [start, count] = [call.int("start", 0), call.int("count", 0)];
      const [rows = 0, ...row] = shape;
      if (start < 0 || count < 0 || start + count > rows)
        throw new NodeError(`shape mismatch: rows ${start} to ${start + count} of [${shape}]`, call.node);
      return [{ dtype, shape: [count, ...row] }];
    },
    ofOutput0((call, dY) => [
      { gradient: dY, cuts: [{ axis: 0, start: call.int("start", 0), step: 1, count: call.int("count", 0) }] },
    ]),
    {
      view: true,
      viewStart: (call) => call.int("start", 0) * elementCount(call.input(0).shape.slice(1)),
      flops: noFlops,
      types: null,
      body: ({ b, x, ...call }) => {
        const start = call.int("start", 0);
        return [b.op("Slice", [x(0), b.vector([start]), b.vector([start + call.int("count", 0)]), b.vector([0])])];
      },
    },
  ),
  Flatten: view(
    (call) => {
      const { shape } = call.input(0);
      const axis = call.int("axis", 1);
      const at = axis < 0 ? axis + shape.length : axis;
      if (at < 0) throw new Error(`axis out of range: ${axis} for rank ${shape.length}`);
      return [elementCount(shape.slice(0, at)), elementCount(shape.slice(at))];
    },
    { hostInputs: [], axisRoom: 1 },
  ),
  Squeeze: view(
    (call) => {
      const { shape } = call.input(0);
      const axes = axesOf(call);
      const dropped = axes ? normalizeAxes(axes, shape.length) : shape.flatMap((n, axis) => (n === 1 ? [axis] : []));
      const wrong = dropped.find((axis) => shape[axis] !== 1);
      if (wrong !== undefined) throw new NodeError(`shape mismatch: axis ${wrong} of [${shape}] is not 1`, call.node);
      return shape.filter((_, axis) => !dropped.includes(axis));
    },
    { normalize: attributesToInputs("axes") },
  ),
  Unsqueeze: view(
    (call) => {
      const { shape } = call.input(0);
      const axes = axesOf(call) ?? [];
      const added = normalizeAxes(axes, shape.length + axes.length);
      const rest = [...shape];
      return Array.from({ length: shape.length + axes.length }, (_, axis) =>
        added.includes(axis) ? 1 : (rest.shift() as number),
      );
    },
    { normalize: attributesToInputs("axes") },
  ),
};
