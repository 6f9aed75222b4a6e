import { NodeError } from "../graph/errors.js";
import { type Attribute, dtypeOfNumber, elementCount, int, is16Bit, type TensorType, text } from "../graph/graph.js";
import { bytesOf, type Value, valuesOf } from "../graph/values.js";
import { gatherGradient, takenByGather } from "./gathered.js";
import { gatherOfModels, placesOfModels, slicesOfModels } from "./indexing-over-models.js";
import { checkIndices, fitsBeside } from "./indices.js";
import { native, noFlops, ofOutput0, type Traits } from "./kinds.js";
import type { Op, OpCall, OpTable } from "./op.js";
import { allAlongAxis, outputsAt, shifted } from "./over-models.js";
import { pickedParts, placedParts } from "./picked.js";
import { axisOf, sameShape, zeros } from "./shapes.js";

const indexed = (infer: Op["infer"], gradient: Op["gradient"], traits: Traits = {}): Op =>
  native(infer, gradient, { flops: noFlops, types: { T: 0, Tind: 1 }, defaults: { axis: int(0) }, ...traits });

const add = { reduction: text("add") };

const int64 = (shape: readonly number[], values: readonly number[]): Value => ({
  dtype: "int64",
  shape,
  data: bytesOf("int64", values),
});

/** The value that a Constant node holds, in whichever attribute. */
function constantOf(call: OpCall): Value {
  const [name, attribute] = Object.entries(call.node.attributes)[0] ?? ["", undefined];
  const { type, value } = (attribute ?? { type: "" }) as Attribute;
  if (type === "tensor") return value;
  if (type === "int") return int64([], [value]);
  if (type === "ints") return int64([value.length], value);
  if (type === "float") return { dtype: "float32", shape: [], data: bytesOf("float32", [value]) };
  if (type === "floats") return { dtype: "float32", shape: [value.length], data: bytesOf("float32", value) };
  throw new NodeError(`unsupported: Constant ${name}`, call.node);
}

/** The one element of a ConstantOfShape's attribute `value`; a float zero if there is none. */
function filler(call: OpCall): { dtype: TensorType["dtype"]; data: Uint8Array } {
  const value = call.node.attributes.value;
  return value?.type === "tensor" ? value.value : { dtype: "float32", data: new Uint8Array(4) };
}

const dims = (call: OpCall): readonly number[] => {
  const { shape } = call.input(0);
  const at = (position: number): number =>
    Math.min(Math.max(position < 0 ? position + shape.length : position, 0), shape.length);
  return shape.slice(at(call.int("start", 0)), at(call.int("end", shape.length)));
};

const choices = { reduction: ["none", "add", "mul", "max", "min"] };

/** Adding up and the like of 16-bit elements. */
const reduces16Bit: NonNullable<Op["cpuRefuses"]> = ({ attributes }, dtype) =>
  (attributes.reduction?.value ?? "none") !== "none" && is16Bit(dtype);

const scatterNd: Op = indexed(
  (call) => {
    const { dtype, shape } = call.input(0);
    const [index, updates] = [call.input(1).shape, call.input(2).shape];
    const width = index.at(-1) ?? 0;
    if (width > shape.length || !sameShape(updates, [...index.slice(0, -1), ...shape.slice(width)]))
      throw new NodeError(`shape mismatch: indices [${index}], updates [${updates}] for [${shape}]`, call.node);
    checkIndices(call, shape.slice(0, width));
    return [{ dtype, shape }];
  },
  ofOutput0((call, dY) => {
    const { b } = call;
    const reduction = call.text("reduction", "none");
    if (reduction !== "none" && reduction !== "add")
      throw new NodeError(`no gradient: ScatterND reduction=${reduction}`, call.node);
    const data = () => (reduction === "add" ? dY : b.op("ScatterND", [dY, call.x(1), zeros(b, call.input(2))]));
    return [
      call.wants(0) ? data() : undefined,
      undefined,
      call.wants(2) ? b.op("GatherND", [dY, call.x(1)]) : undefined,
    ];
  }),
  {
    choices,
    types: { T: 0 },
    defaults: {},
    inPlace: [0],
    pins: "always",
    cpuRefuses: reduces16Bit,
    overModels: placesOfModels,
  },
);

/** Ops that pick elements by index, and ops that make indices and shapes. */
export const indexing: OpTable = {
  Gather: indexed(
    (call) => {
      const { dtype, shape } = call.input(0);
      const axis = axisOf(call, 0);
      checkIndices(call, shape.slice(axis, axis + 1));
      return [{ dtype, shape: [...shape.slice(0, axis), ...call.input(1).shape, ...shape.slice(axis + 1)] }];
    },
    gatherGradient,
    // a table of rows: they start as small as embeddings do, with variance 1/2500
    { picks: 1, fanIn: () => 2500, empty: true, in16Bits: "moves", takes: takenByGather, overModels: gatherOfModels },
  ),
  GatherElements: indexed(
    (call) => {
      fitsBeside(call, call.input(0).shape, call.input(1).shape);
      checkIndices(call, [call.input(0).shape[axisOf(call, 0)] as number]);
      return [{ dtype: call.input(0).dtype, shape: call.input(1).shape }];
    },
    ofOutput0((call, dY) => [
      call.b.op("ScatterElements", [zeros(call.b, call.input(0)), call.x(1), dY], {
        axis: int(axisOf(call, 0)),
        ...add,
      }),
    ]),
    {
      picks: 1,
      pins: "always",
      overModels: allAlongAxis(0),
      parts: pickedParts,
    },
  ),
  ScatterElements: indexed(
    (call) => {
      const { dtype, shape } = call.input(0);
      if (!sameShape(call.input(1).shape, call.input(2).shape))
        throw new NodeError(
          `shape mismatch: indices [${call.input(1).shape}] for updates [${call.input(2).shape}]`,
          call.node,
        );
      fitsBeside(call, shape, call.input(1).shape);
      checkIndices(call, [shape[axisOf(call, 0)] as number]);
      return [{ dtype, shape }];
    },
    ofOutput0((call, dY) => {
      const { b } = call;
      const axis = { axis: int(axisOf(call, 0)) };
      const reduction = call.text("reduction", "none");
      if (reduction !== "none" && reduction !== "add")
        throw new NodeError(`no gradient: ScatterElements reduction=${reduction}`, call.node);
      const data = () =>
        reduction === "add" ? dY : b.op("ScatterElements", [dY, call.x(1), zeros(b, call.input(2))], axis);
      return [
        call.wants(0) ? data() : undefined,
        undefined,
        call.wants(2) ? b.op("GatherElements", [dY, call.x(1)], axis) : undefined,
      ];
    }),
    {
      choices,
      inPlace: [0],
      pins: "always",
      cpuRefuses: reduces16Bit,
      overModels: allAlongAxis(0),
      parts: placedParts,
    },
  ),
  GatherND: indexed(
    (call) => {
      const { dtype, shape } = call.input(0);
      const index = call.input(1).shape;
      const batch = call.int("batch_dims", 0);
      const width = index.at(-1) ?? 0;
      const fits =
        batch >= 0 &&
        batch < Math.min(shape.length, index.length) &&
        batch + width <= shape.length &&
        sameShape(shape.slice(0, batch), index.slice(0, batch));
      if (!fits)
        throw new NodeError(`shape mismatch: indices [${index}] of [${shape}], batch_dims ${batch}`, call.node);
      checkIndices(call, shape.slice(batch, batch + width));
      return [{ dtype, shape: [...index.slice(0, -1), ...shape.slice(batch + (index.at(-1) ?? 0))] }];
    },
    ofOutput0((call, dY) => {
      const { b } = call;
      const batch = call.int("batch_dims", 0);
      if (batch === 0) return [b.op("ScatterND", [zeros(b, call.input(0)), call.x(1), dY], add)];
      // the batch axes as one, whose number goes in front of each index
      const { dtype, shape } = call.input(0);
      const index = call.input(1);
      const n = elementCount(shape.slice(0, batch));
      const count = elementCount(index.shape.slice(batch, -1));
      const width = index.shape.at(-1) as number;
      const numbers = b.constant(
        index.dtype,
        [n, count, 1],
        Array.from({ length: n * count }, (_, i) => Math.floor(i / count)),
      );
      const full = b.op("Concat", [numbers, b.op("Reshape", [call.x(1), b.vector([n, count, width])])], {
        axis: int(2),
      });
      const rows = b.op("Reshape", [dY, b.vector([n, count, ...shape.slice(batch + width)])]);
      const sum = b.op("ScatterND", [zeros(b, { dtype, shape: [n, ...shape.slice(batch)] }), full, rows], add);
      return [b.op("Reshape", [sum, b.vector(shape)])];
    }),
    { types: { T: 0 }, defaults: { batch_dims: int(0) }, pins: "always", overModels: slicesOfModels },
  ),
  ScatterND: scatterNd,
  OneHot: indexed(
    (call) => {
      const { shape } = call.input(0);
      const axis = call.int("axis", -1);
      const at = axis < 0 ? axis + shape.length + 1 : axis;
      return [{ dtype: call.input(2).dtype, shape: [...shape.slice(0, at), call.needOne(1), ...shape.slice(at)] }];
    },
    "zero",
    {
      inputTypes: "any",
      types: { T1: 0, T2: 1, T3: 2 },
      hostInputs: [1],
      overModels: (call) => {
        if (call.at(2) !== undefined) return undefined;
        const axis = call.int("axis", -1);
        const inputs = [call.joint(0, 0), call.x(1), call.x(2)];
        return outputsAt(call.again(inputs, { axis: int(axis < 0 ? axis : shifted(axis, 0)) }), 0);
      },
      axisRoom: 1,
      defaults: { axis: int(-1) },
      pins: "always",
    },
  ),
  Shape: indexed((call) => [{ dtype: "int64", shape: [dims(call).length] }], "zero", {
    types: { T: 0, T1: "y0" },
    empty: true,
    value: (call) => [int64([dims(call).length], dims(call))],
  }),
  Size: indexed(() => [{ dtype: "int64", shape: [] }], "zero", {
    types: { T: 0, T1: "y0" },
    empty: true,
    value: (call) => [int64([], [elementCount(call.input(0).shape)])],
  }),
  Constant: indexed((call) => [constantOf(call)], "zero", {
    types: null,
    value: (call) => [constantOf(call)],
    body: (call) => {
      const { dtype, shape, data } = constantOf(call);
      return [call.b.constant(dtype, shape, valuesOf(dtype, data))];
    },
  }),
  ConstantOfShape: indexed((call) => [{ dtype: filler(call).dtype, shape: call.need(0) }], "zero", {
    types: null,
    hostInputs: [0],
    value: (call) => {
      const { dtype, data } = filler(call);
      const shape = call.need(0);
      const bytes = new Uint8Array(elementCount(shape) * data.length);
      for (let at = 0; at < bytes.length; at += data.length) bytes.set(data, at);
      return [{ dtype, shape, data: bytes }];
    },
    body: (call) => {
      const { dtype, data } = filler(call);
      const one = call.need(0).map(() => 1);
      return [call.b.op("Expand", [call.b.constant(dtype, one, valuesOf(dtype, data)), call.b.vector(call.need(0))])];
    },
  }),
  Range: indexed(
    (call) => {
      const [start, limit, delta] = [0, 1, 2].map(call.needOne) as [number, number, number];
      if (delta === 0) throw new NodeError("step 0: Range", call.node);
      return [{ dtype: call.input(0).dtype, shape: [Math.max(0, Math.ceil((limit - start) / delta))] }];
    },
    "zero",
    { types: { T: 0 }, hostInputs: [0, 1, 2] },
  ),
  /** Ones on a diagonal of a matrix as large as the input. */
  EyeLike: indexed(
    (call) => {
      const { dtype, shape } = call.input(0);
      if (shape.length !== 2) throw new NodeError(`shape mismatch: EyeLike of [${shape}]`, call.node);
      const wanted = call.node.attributes.dtype;
      return [{ dtype: wanted ? dtypeOfNumber(call.int("dtype", 1), call.node.name) : dtype, shape }];
    },
    "zero",
    { types: { T1: 0, T2: "y0" }, defaults: { k: int(0) } },
  ),
  /** Places of the elements that are not 0: their number is known for constants only. */
  NonZero: indexed(
    (call) => {
      const found = call.need(0).filter((value) => value !== 0).length;
      return [{ dtype: "int64", shape: [Math.max(1, call.input(0).shape.length), found] }];
    },
    "zero",
    { types: { T: 0 }, defaults: {}, pins: "always" },
  ),
};
