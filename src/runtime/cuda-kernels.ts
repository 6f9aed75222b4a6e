import type { DType, Graph, Node } from "../graph/graph.js";
import { opOf } from "../ops/index.js";
import { requestOf } from "./kernel-key.js";

const floats = "float32 float64 float16";
const allFloats = `${floats} bfloat16`;
const signed = `${allFloats} int64 int32 int16 int8`;
const numbers = `${signed} uint64 uint32 uint16 uint8`;
const all = `${numbers} bool`;

/**
 * The kernels that ONNX Runtime 1.29's CUDA provider registers, of the ops that mutwo may call it for. Behind each name
 * element types stand for each type constraint in the order of the op's record, parted by |; more than one such text:
 * any of them will do. Read off the provider itself over stub libraries, which the test does again where it is installed.
 */
const registered: readonly (readonly [ops: string, ...types: string[]])[] = [
  ["Abs Sign Add Sub Mul Div", numbers],
  ["Neg", signed],
  ["Exp Sqrt Erf Relu Sigmoid Tanh Gelu Softmax MatMul Gemm", allFloats],
  [
    "com.microsoft:Gelu com.microsoft:FastGelu com.microsoft:BiasGelu com.microsoft:QuickGelu com.microsoft:FusedMatMul",
    allFloats,
  ],
  ["Log Reciprocal Sin Cos Floor Ceil Round LeakyRelu PRelu Elu Selu ThresholdedRelu HardSigmoid HardSwish", floats],
  ["Softplus Softsign LogSoftmax ArgMax ArgMin ReduceLogSum ReduceLogSumExp ReduceSumSquare", floats],
  ["InstanceNormalization RandomNormal RandomUniform Conv ConvTranspose DepthToSpace SpaceToDepth", floats],
  ["AveragePool GlobalAveragePool GlobalMaxPool", floats],
  ["Not", "bool"],
  ["IsNaN IsInf", `${allFloats} | bool`],
  ["Pow", `${allFloats} int64 int32 | ${allFloats} int64 int32`],
  ["Mod", `${allFloats} int64 int32 uint64 uint32`],
  ["And Or Xor", "bool | bool"],
  ["Equal", `${floats} int64 int32 uint64 uint32 bool | bool`],
  ["Greater Less GreaterOrEqual LessOrEqual", `${floats} int64 int32 uint64 uint32 | bool`],
  ["Where", `${allFloats} int64 int32 uint8`],
  ["Clip", `${floats} int64 int8 uint64 uint8`],
  ["Cast", `${all} | ${all}`],
  ["Shrink", `${floats} int64 int32 int16 int8 uint64 uint32 uint16 uint8`],
  ["ReduceSum", `${allFloats} int64 int32`],
  ["ReduceMean ReduceProd ReduceL1 ReduceL2", `${floats} int32`],
  ["ReduceMax ReduceMin", `${floats} int64 int32 int8 uint8`],
  ["CumSum", `${floats} int64 int32 uint64 uint32 | int64 int32`],
  ["TopK", `${floats} int64 int32 int16 int8 uint8 | int64`],
  ["LayerNormalization", `${allFloats} | float32`, "float64 | float64"],
  [
    "SimplifiedLayerNormalization",
    "float32 float16 | float32 | float32 float16",
    "float64 | float64 | float64",
    "bfloat16 | float32 | bfloat16",
  ],
  ["LpNormalization", "float32 float16"],
  ["BatchNormalization", "float32 | float32 | float32", "float64 | float64 | float64", "float16 | float16 | float16"],
  ["Dropout", `${allFloats} | ${allFloats} | bool`],
  ["RandomNormalLike RandomUniformLike", `${all} | ${floats}`],
  ["MaxPool", `${floats} int8 uint8`],
  ["Transpose Concat Split Expand Trilu ScatterND ReverseSequence", all],
  ["Slice Gather GatherElements ScatterElements", `${all} | int64 int32`],
  ["Tile", `${allFloats} int64 int32 | int64`],
  ["Pad", `${floats} bool`],
  ["Resize", `${floats} int32 uint8`],
  ["GatherND", `${allFloats} int64 bool`],
  ["OneHot", "int64 | int64 | float32 float16 int64", "int32 | int32 | float32 float16"],
  ["Shape Size", `${all} | int64`],
  ["Range", "float32 float64 int64 int32 int16"],
  ["EyeLike", "float32 float64 int64 int32 uint64 | float32 float64 int64 int32 uint64"],
  ["NonZero", "float32 float16 int64 int32 uint8 bool"],
  ["GridSample", "float32 | float32"],
  ["RoiAlign", `${floats} | int64`],
];

/** Settings that these kernels refuse. */
const refused: Readonly<Record<string, readonly [attribute: string, value: number | string]>> = {
  ArgMax: ["select_last_index", 1],
  ArgMin: ["select_last_index", 1],
  BatchNormalization: ["training_mode", 1],
  GridSample: ["mode", "cubic"],
};

/** For each op the sets of element types that its kernels take, a set for each type constraint. */
const kernels: ReadonlyMap<string, readonly (readonly ReadonlySet<string>[])[]> = new Map(
  registered.flatMap(([names, ...alternatives]) => {
    const sets = alternatives.map((types) => types.split(" | ").map((set) => new Set(set.split(" "))));
    return names.split(" ").map((name) => [name, sets] as const);
  }),
);

/** Whether ONNX Runtime's CUDA provider has a kernel for a node, by op, element types and settings; no library is asked. */
export function hasCudaKernel(node: Node, graph: Pick<Graph, "tensors">): boolean {
  const name = node.domain ? `${node.domain}:${node.op}` : node.op;
  const alternatives = kernels.get(name);
  const setting = refused[name];
  if (!alternatives || (setting && node.attributes[setting[0]]?.value === setting[1])) return false;
  const { types } = requestOf(node, graph);
  const variables = Object.entries(opOf(node).types ?? {}).flatMap(([name, from]) =>
    typeof from === "number" || /^y\d+$/.test(from) ? [name] : [],
  );
  return alternatives.some((sets) =>
    variables.every((name, i) => {
      const dtype: DType | undefined = types.get(name);
      return dtype === undefined || sets[i]?.has(dtype);
    }),
  );
}
