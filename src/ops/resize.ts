import { NodeError } from "../graph/errors.js";
import { type Attributes, elementCount, float, int, ints, type TensorType, text } from "../graph/graph.js";
import { native, ofOutput0 } from "./kinds.js";
import type { BodyCall, GradientCall, ModelsRule, Normalize, OpCall, OpTable } from "./op.js";
import { oneAfterAnother, outputsAt } from "./over-models.js";
import { cast, normalizeAxis, reshape, sumOver } from "./shapes.js";

type BuildCall = BodyCall | GradientCall;

/** One axis that is resized: `scale` is undefined where the output's size is given instead. */
interface Resized {
  readonly axis: number;
  readonly from: number;
  readonly to: number;
  readonly scale: number | undefined;
}

const isGiven = (call: OpCall, index: number): boolean => (call.inputs[index]?.shape[0] ?? 0) > 0;

/** The scales of Upsample, or of Resize as it was at opset 10: its second input, or an attribute. */
function oldScales(call: OpCall): readonly number[] | undefined {
  const given = call.node.attributes.scales;
  if (given?.type === "floats") return given.value;
  return call.inputs.length === 2 && (call.opset < 11 || call.node.op === "Upsample") ? call.need(1) : undefined;
}

/** The axes that change, or that are scaled at all. Throws `shape mismatch: …`. */
function resized(call: OpCall): Resized[] {
  const { shape } = call.input(0);
  const axes = (call.ints("axes") ?? shape.map((_, axis) => axis)).map((axis) => normalizeAxis(axis, shape.length));
  const scales = oldScales(call) ?? (isGiven(call, 2) ? call.need(2) : undefined);
  const sizes = isGiven(call, 3) ? call.need(3) : undefined;
  const given = scales ?? sizes;
  if (!given) throw new NodeError("Resize lacks scales and sizes", call.node);
  if (given.length !== axes.length)
    throw new Error(`shape mismatch: [${given}] for axes [${axes}] of [${shape}] (op Resize, node ${call.node.name})`);
  const ratios = (sizes ?? []).map((size, i) => size / (shape[axes[i] as number] as number));
  const policy = call.text("keep_aspect_ratio_policy", "stretch");
  const common =
    policy === "not_larger" ? Math.min(...ratios) : policy === "not_smaller" ? Math.max(...ratios) : undefined;
  return axes.map((axis, i): Resized => {
    const from = shape[axis] as number;
    const scale = scales?.[i];
    if (scale !== undefined) return { axis, from, to: Math.floor(Math.fround(from * scale)), scale };
    const to = common === undefined ? (given[i] as number) : Math.floor(from * common + 0.5);
    return { axis, from, to, scale: undefined };
  });
}

/** The integer k by which a nearest Resize repeats each element of an axis; undefined if it does anything else. */
function repetition(call: OpCall, { from, to, scale }: Resized): number | undefined {
  const coordinates = call.text("coordinate_transformation_mode", "half_pixel");
  const rounding = call.text("nearest_mode", "round_prefer_floor");
  const isRepetition =
    (coordinates === "asymmetric" && rounding === "floor") ||
    (coordinates === "half_pixel" && rounding.startsWith("round_prefer"));
  const k = to / from;
  return call.text("mode", "nearest") === "nearest" && isRepetition && Number.isInteger(k) && (scale ?? k) === k
    ? k
    : undefined;
}

/** What an axis of the output takes from the input, a matrix of that axis' sizes: the identity, resized alike. */
function weights(call: BuildCall, { from, to, scale }: Resized, dtype: TensorType["dtype"]): string {
  const { b } = call;
  const square = b.op("Expand", [b.constant("float32", [1, 1], 0), b.vector([from, from])]);
  const identity = reshape(b, b.op("EyeLike", [square]), [1, 1, from, from]);
  const { axes: _, keep_aspect_ratio_policy: __, ...attributes } = call.node.attributes;
  const target =
    scale === undefined
      ? [undefined, undefined, b.vector([1, 1, to, from])]
      : [undefined, b.constant("float32", [4], [1, 1, scale, 1])];
  return cast(b, reshape(b, b.op("Resize", [identity, ...target], attributes), [to, from]), dtype);
}

/** The axes along which a Resize does something. Throws `unsupported: …` for forms that are no matrix along each axis. */
function changedAxes(call: OpCall, what: "no kernel" | "no gradient"): Resized[] {
  const coordinates = call.text("coordinate_transformation_mode", "half_pixel");
  const policy = call.text("keep_aspect_ratio_policy", "stretch");
  if (coordinates === "tf_crop_and_resize" || policy !== "stretch")
    throw new NodeError(`${what}: Resize ${policy === "stretch" ? coordinates : policy}`, call.node, {
      kind: what === "no kernel" ? what : undefined,
    });
  // an axis that keeps its size keeps its elements, unless it is scaled by a bit
  return resized(call).filter(({ from, to, scale }) => from !== to || (scale ?? 1) !== 1);
}

/** X resized along one axis by the product with a matrix. */
function widened(call: BodyCall, x: string, resize: Resized): string {
  const { b } = call;
  const { dtype, shape } = b.type(x);
  const { axis, from, to } = resize;
  const outer = elementCount(shape.slice(0, axis));
  const inner = elementCount(shape.slice(axis + 1));
  const rows = b.op("MatMul", [weights(call, resize, dtype), reshape(b, x, [outer, from, inner])]);
  return reshape(b, rows, [...shape.slice(0, axis), to, ...shape.slice(axis + 1)]);
}

/** dX along one axis of a Resize, which is a matrix along each of its axes. */
function narrowed(call: GradientCall, dY: string, resize: Resized): string {
  const { b } = call;
  const { dtype, shape } = b.type(dY);
  const { axis, from, to } = resize;
  const outer = elementCount(shape.slice(0, axis));
  const inner = elementCount(shape.slice(axis + 1));
  const back = [...shape.slice(0, axis), from, ...shape.slice(axis + 1)];
  const k = repetition(call, resize);
  if (k !== undefined) return reshape(b, sumOver(b, reshape(b, dY, [outer, from, k, inner]), [2], false), back);
  const matrix = weights(call, resize, dtype);
  if (inner === 1) return reshape(b, b.op("MatMul", [reshape(b, dY, [outer, to]), matrix]), back);
  const turned = b.op("Transpose", [matrix], { perm: ints([1, 0]) });
  return reshape(b, b.op("MatMul", [turned, reshape(b, dY, [outer, to, inner])]), back);
}

/** Resize and Upsample of old opsets in today's form: coordinates are multiplied, and rounded toward the denser side. */
const renewed: Normalize = (call) => {
  const scales = oldScales(call);
  if (!scales) return undefined;
  const mode = call.text("mode", "nearest");
  const isDown = scales.some((scale) => scale < 1);
  if (mode === "nearest" && isDown && scales.some((scale) => scale > 1))
    throw new NodeError(`unsupported: ${call.node.op} by [${scales}]`, call.node);
  const attributes = {
    mode: text(mode),
    coordinate_transformation_mode: text("asymmetric"),
    nearest_mode: text(isDown ? "ceil" : "floor"),
  };
  const inputs = [call.x(0), undefined, call.b.constant("float32", [scales.length], scales)];
  return [call.b.op("Resize", inputs, attributes, { name: call.node.name })];
};

const inferResize = (call: OpCall): TensorType[] => {
  const { dtype } = call.input(0);
  const shape = [...call.input(0).shape];
  for (const { axis, to } of resized(call)) shape[axis] = to;
  return [{ dtype, shape }];
};

const choices = {
  mode: ["nearest", "linear", "cubic"],
  coordinate_transformation_mode: [
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
    "tf_half_pixel_for_nn",
    "tf_crop_and_resize",
  ],
  nearest_mode: ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil", "simple"],
  keep_aspect_ratio_policy: ["stretch", "not_larger", "not_smaller"],
};

const defaults: Attributes = {
  mode: text("nearest"),
  coordinate_transformation_mode: text("half_pixel"),
  nearest_mode: text("round_prefer_floor"),
  cubic_coeff_a: float(-0.75),
  exclude_outside: int(0),
  extrapolation_value: float(0),
  antialias: int(0),
  keep_aspect_ratio_policy: text("stretch"),
};

/** The images of all models as one batch. */
const resizedOverModels: ModelsRule = (call) => {
  const { b, models, node } = call;
  const at = call.at(0) ?? 0;
  if (resized(call).some(({ axis, from, to, scale }) => axis === 0 && (from !== to || (scale ?? 1) !== 1)))
    return undefined;
  const x = call.joint(0, at, oneAfterAnother(call.input(0).shape, models, 0));
  const sizes = call.inputs[3] && call.need(3);
  const axes = call.ints("axes") ?? call.input(0).shape.map((_, axis) => axis);
  const own = sizes?.map((size, i) =>
    normalizeAxis(axes[i] as number, call.input(0).shape.length) ? size : size * models,
  );
  const inputs = node.inputs.map((name, i) => (i === 0 ? x : i === 3 && own ? b.vector(own) : name && call.x(i)));
  return outputsAt(call.again(inputs), at);
};

/** Resizing of images. */
export const resizing: OpTable = {
  Resize: native(
    inferResize,
    ofOutput0((call, dY) => {
      const changed = changedAxes(call, "no gradient");
      return [changed.reduce((gradient, resize) => narrowed(call, gradient, resize), dY)];
    }),
    {
      flops: (call, outputs) =>
        elementCount(outputs[0]?.shape ?? []) *
        (call.text("mode", "nearest") === "nearest" ? 0 : 2 ** (call.input(0).shape.length - 1)),
      hostInputs: [1, 2, 3],
      inputTypes: "any",
      choices,
      overModels: resizedOverModels,
      pins: "always",
      types: { T1: 0 },
      defaults,
      normalize: renewed,
      body: (call) => [changedAxes(call, "no kernel").reduce((x, resize) => widened(call, x, resize), call.x(0))],
    },
  ),
  /** Resize's name before opset 10: only ever read. */
  Upsample: native(inferResize, "none", {
    types: null,
    inputTypes: "any",
    choices: { mode: ["nearest", "linear"] },
    hostInputs: [1],
    normalize: renewed,
  }),
};
