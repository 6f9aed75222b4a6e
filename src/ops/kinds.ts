import { type DType, elementCount, type TensorType } from "../graph/graph.js";
import type { GradientCall, GradientRule, Normalize, Op, OpCall } from "./op.js";
import { broadcastShape, reduceTo } from "./shapes.js";

/** What a maker of records may be told beside the kind's own facts. */
export type Traits = Partial<Omit<Op, "infer" | "gradient">>;

/** Operations of an op that moves elements without computing. */
export const noFlops = (): number => 0;

/** Number of elements of the first output. */
export const outputSize = (outputs: readonly TensorType[]): number => elementCount(outputs[0]?.shape ?? []);

/** Number of elements of the first input. */
export const inputSize = (call: OpCall): number => elementCount(call.input(0).shape);

/** An op with a native kernel, of one operation per output element, that shares no storage, unless `traits` say else. */
export const native = (infer: Op["infer"], gradient: Op["gradient"], traits: Traits = {}): Op => ({
  infer,
  gradient,
  flops: (_, outputs) => outputSize(outputs),
  view: false,
  inPlace: [],
  deterministic: true,
  hostInputs: [],
  types: { T: 0 },
  ...traits,
});

/** Output 0 has the type of input 0. */
export const sameType = (call: OpCall): TensorType[] => [{ dtype: call.input(0).dtype, shape: call.input(0).shape }];

/** A rule for ops of which only output 0 has a gradient; it is given that gradient's name. */
export const ofOutput0 =
  (rule: (call: GradientCall, dY: string) => ReturnType<GradientRule>): GradientRule =>
  (call) => {
    const dY = call.dy(0);
    return dY ? rule(call, dY) : [];
  };

/** Gradient of one input, given the name of output 0's gradient. */
export type Partial1 = (call: GradientCall, dY: string) => string;

/** Traits of a pointwise op that fused nodes may hold. */
export const fusible: Traits = { pointwise: true, fusible: "elements" };

/** An op on each element of one tensor, in place if wished. */
export const unary = (gradient: Partial1 | "zero", traits: Traits = {}): Op =>
  native(
    sameType,
    gradient === "zero" ? "zero" : ofOutput0((call, dY) => [call.wants(0) ? gradient(call, dY) : undefined]),
    { inPlace: [0], pointwise: true, ...traits },
  );

/** Output 0 has the shape that all inputs broadcast to and the element type of input 0, or the one given. */
export const inferBroadcast =
  (dtype?: DType) =>
  (call: OpCall): TensorType[] => [
    {
      dtype: dtype ?? call.input(0).dtype,
      shape: broadcastShape(...call.inputs.flatMap((input) => (input ? [input.shape] : []))),
    },
  ];

/** Un-broadcasts the gradients of those inputs that want one; each part gives a gradient of the output's shape. */
export const broadcastGradient = (...parts: readonly (Partial1 | undefined)[]): GradientRule =>
  ofOutput0((call, dY) =>
    parts.map((part, i) =>
      part && call.inputs[i] && call.wants(i) ? reduceTo(call.b, part(call, dY), call.input(i).shape) : undefined,
    ),
  );

/** An op on each pair of elements of two tensors, broadcast; in place if the sizes are equal. */
export const binary = (parts: readonly [Partial1, Partial1] | "zero", traits: Traits = {}): Op =>
  native(inferBroadcast(), parts === "zero" ? "zero" : broadcastGradient(...parts), {
    inPlace: [0, 1],
    pointwise: true,
    inputTypes: "equal",
    ...traits,
  });

/** A comparison of two tensors, broadcast. */
export const comparison: Op = native(inferBroadcast("bool"), "zero", {
  ...fusible,
  inputTypes: "equal",
  types: { T: 0, T1: "y0" },
});

/** A list that is an input, or an attribute before some opset. Throws if it is neither, or not a constant. */
export const listOf = (call: OpCall, index: number, attribute: string): readonly number[] =>
  (call.inputs[index] ? undefined : call.ints(attribute)) ?? call.need(index);

/** Before opset 13 (Pad: 11, Slice: 10) parameters are attributes: turns them into inputs. */
export const attributesToInputs =
  (...names: readonly string[]): Normalize =>
  (call) => {
    if (!names.some((name) => call.ints(name))) return undefined;
    const rest = Object.fromEntries(Object.entries(call.node.attributes).filter(([name]) => !names.includes(name)));
    const lists = names.map((name) => call.ints(name));
    return call.b.add(call.node.op, [call.x(0), ...lists.map((list) => list && call.b.vector(list))], rest, {
      name: call.node.name,
      count: call.outputCount,
    });
  };
