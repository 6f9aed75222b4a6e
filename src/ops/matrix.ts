import { NodeError } from "../graph/errors.js";
import { elementCount, float, int, ints, type TensorType } from "../graph/graph.js";
import type { Emit } from "./emit.js";
import { native, ofOutput0, outputSize, type Traits } from "./kinds.js";
import { gemmOverModels, productOverModels } from "./matrix-over-models.js";
import type { Normalize, OpCall, OpTable } from "./op.js";
import { broadcastShape, reduceTo, reshape } from "./shapes.js";

/** Throws `shape mismatch: …` unless the two sizes that are multiplied along agree. */
function inner(call: OpCall, a: number | undefined, b: number | undefined): number {
  if (a === undefined || a !== b) {
    const shapes = call.inputs.flatMap((input) => (input ? [`[${input.shape}]`] : []));
    throw new NodeError(`shape mismatch: ${shapes.join(" times ")}`, call.node);
  }
  return a;
}

function matMulType(call: OpCall): TensorType[] {
  const [a, b] = [call.input(0), call.input(1)];
  if (a.shape.length === 0 || b.shape.length === 0)
    throw new NodeError(`shape mismatch: [${a.shape}] times [${b.shape}]`, call.node);
  const left = a.shape.length === 1 ? [1, ...a.shape] : a.shape;
  const right = b.shape.length === 1 ? [...b.shape, 1] : b.shape;
  inner(call, left.at(-1), right.at(-2));
  const shape = [
    ...broadcastShape(left.slice(0, -2), right.slice(0, -2)),
    ...(a.shape.length === 1 ? [] : [left.at(-2) as number]),
    ...(b.shape.length === 1 ? [] : [right.at(-1) as number]),
  ];
  return [{ dtype: a.dtype, shape }];
}

/** The last two axes exchanged. */
const transposed = (b: Emit, x: string): string => {
  const rank = b.type(x).shape.length;
  const perm = Array.from({ length: rank }, (_, axis) => (axis < rank - 2 ? axis : 2 * rank - 3 - axis));
  return b.op("Transpose", [x], { perm: ints(perm) });
};

/** Multiply-adds of a product, doubled. */
const productFlops = (call: OpCall, outputs: readonly TensorType[]): number =>
  2 * outputSize(outputs) * (call.input(0).shape.at(-1) ?? 1);

interface GemmFacts {
  readonly transA: boolean;
  readonly transB: boolean;
  readonly alpha: number;
  readonly beta: number;
}

const gemmFacts = (call: OpCall): GemmFacts => ({
  transA: call.int("transA", 0) !== 0,
  transB: call.int("transB", 0) !== 0,
  alpha: call.float("alpha", 1),
  beta: call.float("beta", 1),
});

const fusedFacts = (call: OpCall): { transA: boolean; transB: boolean; alpha: number } => ({
  transA: call.int("transA", 0) !== 0,
  transB: call.int("transB", 0) !== 0,
  alpha: call.float("alpha", 1),
});

/** A type with its last two axes exchanged if asked; a vector stays as it is. */
function turned({ dtype, shape }: TensorType, turn: boolean): TensorType {
  if (!turn || shape.length < 2) return { dtype, shape };
  return { dtype, shape: [...shape.slice(0, -2), shape.at(-1) as number, shape.at(-2) as number] };
}

/** The order of a FusedMatMul's axes whose first one stands behind the batch: all in turn, unless it says so. */
function batchOrder(call: OpCall, index: 0 | 1): number[] {
  const axes = call.input(index).shape.map((_, axis) => axis);
  const isLast = call.int(index ? "transBatchB" : "transBatchA", 0) !== 0 && axes.length > 2;
  return isLast ? [...axes.slice(1, -1), 0, axes.length - 1] : axes;
}

/** Brings the axes of a FusedMatMul's operands into the order of a product of batches; leaves others alone. */
const inBatchOrder: Normalize = (call) => {
  const { b } = call;
  if (!call.int("transBatchA", 0) && !call.int("transBatchB", 0)) return undefined;
  const operand = (index: 0 | 1): string => b.op("Transpose", [call.x(index)], { perm: ints(batchOrder(call, index)) });
  const { transBatchA: _, transBatchB: __, ...rest } = call.node.attributes;
  return [b.op("FusedMatMul", [operand(0), operand(1)], rest, { domain: "com.microsoft", name: call.node.name })];
};

const matrices: Traits = { product: "matrices" };

/** Products of matrices. */
export const matrix: OpTable = {
  /** dA = dY·Bᵀ, dB = Aᵀ·dY; a matrix that many rows share sums over all of them in one product. */
  MatMul: native(
    matMulType,
    ofOutput0((call, dY) => {
      const { b } = call;
      const [A, B] = [call.input(0).shape, call.input(1).shape];
      const left = A.length === 1 ? reshape(b, call.x(0), [1, ...A]) : call.x(0);
      const right = B.length === 1 ? reshape(b, call.x(1), [...B, 1]) : call.x(1);
      const [ls, rs] = [b.type(left).shape, b.type(right).shape];
      const full = [...broadcastShape(ls.slice(0, -2), rs.slice(0, -2)), ls.at(-2) as number, rs.at(-1) as number];
      const dY2 = reshape(b, dY, full);
      const [m, k, n] = [full.at(-2) as number, ls.at(-1) as number, full.at(-1) as number];
      if (rs.length === 2) {
        const rows = elementCount(full) / n;
        const flatDY = reshape(b, dY2, [rows, n]);
        return [
          call.wants(0) ? reshape(b, b.op("Gemm", [flatDY, right], { transB: int(1) }), A) : undefined,
          call.wants(1)
            ? reshape(b, b.op("Gemm", [reshape(b, left, [rows, k]), flatDY], { transA: int(1) }), B)
            : undefined,
        ];
      }
      const dA = () => reduceTo(b, b.op("MatMul", [dY2, transposed(b, right)]), [...ls.slice(0, -2), m, k]);
      const dB = () => reduceTo(b, b.op("MatMul", [transposed(b, left), dY2]), [...rs.slice(0, -2), k, n]);
      return [call.wants(0) ? reshape(b, dA(), A) : undefined, call.wants(1) ? reshape(b, dB(), B) : undefined];
    }),
    {
      ...matrices,
      inputTypes: "equal",
      pins: "batches",
      fanIn: (_, shape) => shape[0] as number,
      flops: productFlops,
      overModels: productOverModels,
    },
  ),
  /** Y = α·A'·B' + β·C, A' and B' transposed if asked. */
  Gemm: native(
    (call) => {
      const { transA, transB } = gemmFacts(call);
      const [a, b] = [call.input(0).shape, call.input(1).shape];
      if (a.length !== 2 || b.length !== 2) throw new NodeError(`shape mismatch: [${a}] times [${b}]`, call.node);
      const [m, k] = transA ? [a[1], a[0]] : [a[0], a[1]];
      const [kB, n] = transB ? [b[1], b[0]] : [b[0], b[1]];
      inner(call, k, kB);
      const shape = [m as number, n as number];
      if (call.inputs[2] && broadcastShape(call.input(2).shape, shape).join() !== shape.join())
        throw new NodeError(`shape mismatch: C [${call.input(2).shape}] for [${shape}]`, call.node);
      return [{ dtype: call.input(0).dtype, shape }];
    },
    ofOutput0((call, dY) => {
      const { b } = call;
      const { transA, transB, alpha, beta } = gemmFacts(call);
      const product = (p: string, q: string, tP: boolean, tQ: boolean): string =>
        b.op("Gemm", [p, q], {
          ...(alpha === 1 ? {} : { alpha: float(alpha) }),
          ...(tP ? { transA: int(1) } : {}),
          ...(tQ ? { transB: int(1) } : {}),
        });
      const dA = () => (transA ? product(call.x(1), dY, transB, true) : product(dY, call.x(1), false, !transB));
      const dB = () => (transB ? product(dY, call.x(0), true, transA) : product(call.x(0), dY, !transA, false));
      const dC = () => {
        const sum = reduceTo(b, dY, call.input(2).shape);
        return beta === 1 ? sum : b.op("Mul", [sum, b.scalar(beta, sum)]);
      };
      return [
        call.wants(0) ? dA() : undefined,
        call.wants(1) ? dB() : undefined,
        call.inputs[2] && call.wants(2) ? dC() : undefined,
      ];
    }),
    {
      ...matrices,
      inputTypes: "equal",
      fanIn: ({ attributes }, shape) =>
        (attributes.transB?.value === 1 ? elementCount(shape.slice(1)) : shape[0]) as number,
      defaults: { transA: int(0), transB: int(0), alpha: float(1), beta: float(1) },
      addend: ({ attributes }) => ((attributes.beta?.value ?? 1) === 1 ? 2 : undefined),
      overModels: gemmOverModels,
      flops: (call, outputs) => 2 * outputSize(outputs) * (call.input(0).shape[call.int("transA", 0) ? 0 : 1] ?? 1),
    },
  ),
  /** Y = α·A'·B', the last two axes of A and B exchanged if asked; a kernel of ONNX Runtime's. */
  "com.microsoft:FusedMatMul": native(
    (call) => {
      const { transA, transB } = fusedFacts(call);
      const ordered = (index: 0 | 1): TensorType => {
        const { dtype, shape } = call.input(index);
        return { dtype, shape: batchOrder(call, index).map((axis) => shape[axis] as number) };
      };
      const types = [turned(ordered(0), transA), turned(ordered(1), transB)];
      return matMulType({
        ...call,
        inputs: types,
        input: (index) => types[index] ?? call.input(index),
      });
    },
    ofOutput0((call, dY) => {
      const { b } = call;
      const { transA, transB, alpha } = fusedFacts(call);
      const [A, B] = [call.input(0).shape, call.input(1).shape];
      if (A.length < 2 || B.length < 2) throw new NodeError(`no gradient: FusedMatMul of [${A}] and [${B}]`, call.node);
      const product = (p: string, q: string, tP: boolean, tQ: boolean): string =>
        b.op(
          "FusedMatMul",
          [p, q],
          { alpha: float(alpha), transA: int(tP ? 1 : 0), transB: int(tQ ? 1 : 0) },
          { domain: "com.microsoft" },
        );
      const dA = () => (transA ? product(call.x(1), dY, transB, true) : product(dY, call.x(1), false, !transB));
      const dB = () => (transB ? product(dY, call.x(0), true, transA) : product(call.x(0), dY, !transA, false));
      return [call.wants(0) ? reduceTo(b, dA(), A) : undefined, call.wants(1) ? reduceTo(b, dB(), B) : undefined];
    }),
    {
      ...matrices,
      pins: "batches",
      overModels: productOverModels,
      normalize: inBatchOrder,
      defaults: { alpha: float(1), transA: int(0), transB: int(0), transBatchA: int(0), transBatchB: int(0) },
      flops: (call, outputs) =>
        2 * outputSize(outputs) * (turned(call.input(0), fusedFacts(call).transA).shape.at(-1) ?? 1),
      body: (call) => {
        const { b } = call;
        const { transA, transB, alpha } = fusedFacts(call);
        const operand = (index: number, turn: boolean): string =>
          turn && call.input(index).shape.length > 1 ? transposed(b, call.x(index)) : call.x(index);
        const y = b.op("MatMul", [operand(0, transA), operand(1, transB)]);
        return [alpha === 1 ? y : b.op("Mul", [y, b.scalar(alpha, y)])];
      },
    },
  ),
  /** Determinants of the last two axes. */
  Det: native(
    (call) => {
      const { dtype, shape } = call.input(0);
      inner(call, shape.at(-2), shape.at(-1));
      return [{ dtype, shape: shape.slice(0, -2) }];
    },
    "none",
    { flops: (call) => (2 / 3) * elementCount(call.input(0).shape) * (call.input(0).shape.at(-1) ?? 1) },
  ),
};
