import { NodeError } from "../graph/errors.js";
import { type Attributes, elementCount, float, int, ints, type TensorType } from "../graph/graph.js";
import { composite } from "./composite.js";
import type { Emit } from "./emit.js";
import { fastGelu, gelu } from "./gelu.js";
import { convType } from "./geometry.js";
import { inferBroadcast, inputSize, outputSize, sameType } from "./kinds.js";
import { math } from "./math.js";
import { matrix } from "./matrix.js";
import type { Op, OpCall, OpTable } from "./op.js";
import { axisOf, reshape, sameShape } from "./shapes.js";

/** What a fused activation may be, each with its attributes in the order in which a list of numbers gives them. */
const activations: Readonly<Record<string, readonly string[]>> = {
  Relu: [],
  Tanh: [],
  Sigmoid: [],
  LeakyRelu: ["alpha"],
  Clip: ["min", "max"],
  HardSigmoid: ["alpha", "beta"],
  HardSwish: [],
  Elu: ["alpha"],
  Selu: ["alpha", "gamma"],
  Celu: ["alpha"],
  ThresholdedRelu: ["alpha"],
  Softplus: [],
  Softsign: [],
  ParametricSoftplus: ["alpha", "beta"],
  ScaledTanh: ["alpha", "beta"],
};

/** Activations α·f(β·x) that are no ops of their own. */
const scaled: Readonly<Record<string, string>> = { ParametricSoftplus: "Softplus", ScaledTanh: "Tanh" };

/** The activation that attribute `activation` names, of parameters by their names; itself without one. */
function activated(
  call: OpCall,
  b: Emit,
  y: string,
  given: (name: string, place: number) => number | undefined,
): string {
  const activation = call.text("activation", "");
  if (!activation) return y;
  const names = Object.hasOwn(activations, activation) ? activations[activation] : undefined;
  if (!names) throw new NodeError(`unsupported: activation ${activation} of ${call.node.op}`, call.node);
  const values = names.map(given);
  if (activation === "Clip") {
    const bounds = values.map((value) => (value === undefined ? undefined : b.scalar(value, y)));
    return b.op("Clip", [y, ...bounds]);
  }
  const inner = scaled[activation];
  if (inner) {
    const m = math(b);
    const [alpha = 1, beta = 1] = values;
    return m.mul(b.op(inner, [m.mul(y, beta)]), alpha);
  }
  const attributes: Attributes = Object.fromEntries(
    names.flatMap((name, i) => (values[i] === undefined ? [] : [[name, float(values[i] as number)]])),
  );
  return b.op(activation, [y], attributes);
}

/** Parameters that stand in one list. */
function listed(call: OpCall): (name: string, place: number) => number | undefined {
  const given = call.node.attributes.activation_params;
  const values = given?.type === "floats" ? given.value : [];
  return (_, place) => values[place];
}

/** Parameters that stand in attributes of their own. */
const named =
  (call: OpCall) =>
  (name: string): number | undefined =>
    call.node.attributes[`activation_${name}`] ? call.float(`activation_${name}`, 0) : undefined;

/** Attributes without those of the activation. */
const plain = ({ node }: OpCall): Attributes =>
  Object.fromEntries(Object.entries(node.attributes).filter(([name]) => !name.startsWith("activation")));

/** Matrices or kernels, and biases. */
const operands = { 0: "weight", 1: "weight", 2: "weight" } as const;

/** Input names, undefined for those that are absent. */
const present = (call: OpCall, count: number): (string | undefined)[] =>
  call.node.inputs.slice(0, count).map((name) => name || undefined);

const productFlops = (call: OpCall, outputs: readonly TensorType[]): number =>
  2 * outputSize(outputs) * elementCount(call.input(1).shape.slice(1));

/** Type of a convolution whose channels stand last. */
function lastChannels(call: OpCall): TensorType[] {
  const moved = (index: number): TensorType => {
    const { dtype, shape } = call.input(index);
    return { dtype, shape: [shape[0] as number, shape.at(-1) as number, ...shape.slice(1, -1)] };
  };
  const types = [moved(0), moved(1), ...call.inputs.slice(2)];
  const [y] = convType({ ...call, inputs: types, input: (index) => types[index] ?? call.input(index) });
  const { dtype, shape } = y as TensorType;
  return [{ dtype, shape: [shape[0] as number, ...shape.slice(2), shape[1] as number] }];
}

/** A tensor with its last axis as axis 1. */
export const channelsFirst = (b: Emit, x: string): string => {
  const rank = b.type(x).shape.length;
  return b.op("Transpose", [x], { perm: ints(Array.from({ length: rank }, (_, i) => [0, rank - 1][i] ?? i - 1)) });
};

/** A tensor with its axis 1 as the last one. */
export const channelsLast = (b: Emit, x: string): string => {
  const rank = b.type(x).shape.length;
  const perm = Array.from({ length: rank }, (_, i) => (i === 0 ? 0 : i === rank - 1 ? 1 : i + 1));
  return b.op("Transpose", [x], { perm: ints(perm) });
};

/** A matrix product with its activation: by which op it is computed. */
const activatedProduct = (op: "Gemm" | "FusedMatMul", domain: string, infer: Op["infer"], inputs: number): Op =>
  composite(
    infer,
    (call) => {
      const y = call.b.op(op, present(call, inputs), plain(call), { domain });
      return [activated(call, call.b, y, named(call))];
    },
    { flops: productFlops, holds: operands },
  );

/** The sum of the inputs that there are. */
const total = (call: { b: Emit } & OpCall, indices: readonly number[]): string =>
  indices
    .filter((index) => call.inputs[index])
    .map((index) => call.node.inputs[index] as string)
    .reduce((sum, x) => math(call.b).add(sum, x));

/** Type of input 0 with half as many elements in its last axis. */
function halved(call: OpCall): TensorType[] {
  const { dtype, shape } = call.input(0);
  const width = shape.at(-1) ?? 0;
  if (width % 2) throw new NodeError(`shape mismatch: [${shape}] in halves`, call.node);
  return [{ dtype, shape: [...shape.slice(0, -1), width / 2] }];
}

/** Ops of ONNX Runtime's that are several standard ones. */
export const contribFused: OpTable = {
  /** (X, W, bias, added before the activation). */
  "com.microsoft:FusedConv": composite(
    convType,
    (call) => {
      const { b } = call;
      const y = b.op("Conv", present(call, 3), plain(call));
      if (call.inputs[3] && !sameShape(call.input(3).shape, b.type(y).shape))
        throw new NodeError(`shape mismatch: Z [${call.input(3).shape}] for Y [${b.type(y).shape}]`, call.node);
      return [activated(call, b, call.inputs[3] ? math(b).add(y, call.x(3)) : y, listed(call))];
    },
    { flops: productFlops, holds: operands },
  ),
  /** (X, W, bias), the channels of X and W last. */
  "com.microsoft:NhwcConv": composite(
    lastChannels,
    (call) => {
      const { b } = call;
      const [x, w] = [call.x(0), call.x(1)].map((name) => channelsFirst(b, name));
      return [channelsLast(b, b.op("Conv", [x, w, ...(call.inputs[2] ? [call.x(2)] : [])], plain(call)))];
    },
    { flops: productFlops, holds: operands },
  ),
  "com.microsoft:FusedGemm": activatedProduct("Gemm", "", (call) => (matrix.Gemm as Op).infer(call), 3),
  "com.microsoft:FusedMatMulActivation": activatedProduct(
    "FusedMatMul",
    "com.microsoft",
    (call) => (matrix["com.microsoft:FusedMatMul"] as Op).infer(call),
    2,
  ),
  /** FusedMatMul's name in older files. */
  "com.microsoft:TransposeMatMul": activatedProduct(
    "FusedMatMul",
    "com.microsoft",
    (call) => (matrix["com.microsoft:FusedMatMul"] as Op).infer(call),
    2,
  ),
  /** (X, W, bias). */
  "com.microsoft:GemmFastGelu": composite(
    (call) => (matrix.MatMul as Op).infer(call),
    (call) => {
      const y = call.b.op("MatMul", [call.x(0), call.x(1)]);
      return [fastGelu(call.b, call.inputs[2] ? math(call.b).add(y, call.x(2)) : y)];
    },
    { flops: productFlops, holds: operands },
  ),
  /** (X, bias): the first half of their sum times the Gelu of the second. */
  "com.microsoft:BiasSplitGelu": composite(
    halved,
    (call) => {
      const { b } = call;
      const width = halved(call)[0]?.shape.at(-1) as number;
      const [left, right] = b.add(
        "Split",
        [total(call, [0, 1]), b.vector([width, width])],
        { axis: int(-1) },
        { count: 2 },
      );
      return [math(b).mul(left as string, gelu(b, right as string))];
    },
    { flops: (call) => 10 * inputSize(call), holds: { 1: "weight" } },
  ),
  /** (X, bias, skip). */
  "com.microsoft:BiasAdd": composite(sameType, (call) => [total(call, [0, 1, 2])], {
    pointwise: true,
    holds: { 1: "weight" },
  }),
  /** (X, bias): the softmax of their sum over all axes from `axis` on. */
  "com.microsoft:BiasSoftmax": composite(
    inferBroadcast(),
    (call) => {
      const { b } = call;
      const sum = total(call, [0, 1]);
      const { shape } = b.type(sum);
      const axis = axisOf(call, 1);
      const rows = reshape(b, sum, [...shape.slice(0, axis), elementCount(shape.slice(axis))]);
      return [reshape(b, b.op("Softmax", [rows], { axis: int(-1) }), shape)];
    },
    { flops: (call) => 6 * inputSize(call) },
  ),
};
