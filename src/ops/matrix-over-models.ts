import { type Attributes, elementCount } from "../graph/graph.js";
import { math } from "./math.js";
import type { ModelsCall, ModelsRule } from "./op.js";
import { asOneBatch, beside, isCommon, isCommonFrom, outputsAt, withModels } from "./over-models.js";

/** A product of matrices of each model, as attributes transA, transB and alpha say. */
const batched = (call: ModelsCall, a: string, b: string, attributes: Attributes): string =>
  call.b.op("FusedMatMul", [a, b], attributes, { domain: "com.microsoft", name: call.node.name });

/** The product of all rows of a model's tensor with the model's matrix; of all models' rows, if they have one matrix. */
const rowsTimesMatrix = (call: ModelsCall): string => {
  const [k = 1] = call.input(1).shape;
  const rows = elementCount(call.input(0).shape) / k;
  const own = isCommon(call, 0)
    ? call.b.op("Reshape", [call.x(0), call.b.vector([1, rows, k])])
    : call.joint(0, 0, [call.models, rows, k]);
  return batched(call, own, call.joint(1, 0), {});
};

/** Products of matrices: a batch of one for each model. */
export const productOverModels: ModelsRule = (call) => {
  const [a, b] = [call.input(0).shape, call.input(1).shape];
  const isPlain = call.node.op === "MatMul";
  if (isPlain && b.length === 2 && !isCommon(call, 1)) return outputsAt([rowsTimesMatrix(call)], 0);
  if (isPlain && b.length <= 2 && isCommon(call, 1)) return outputsAt(call.again([call.joint(0, 0), call.x(1)]), 0);
  if (a.length < 2 || b.length < 2) {
    if (!isPlain) return undefined;
    // a vector is a row on the left, a column on the right
    const rank = Math.max(a.length, b.length, 2);
    const ones = (count: number): number[] => new Array<number>(Math.max(0, count)).fill(1);
    const left = a.length === 1 ? [...ones(rank - 1), ...a] : [...ones(rank - a.length), ...a];
    const right = b.length === 1 ? [...ones(rank - 2), ...b, 1] : [...ones(rank - b.length), ...b];
    const operands = [left, right].map((shape, i) => call.joint(i, 0, withModels(shape, call.models, 0)));
    return outputsAt(call.again(operands), 0);
  }
  const rank = Math.max(a.length, b.length);
  return outputsAt(call.again([beside(call, 0, rank, 0), beside(call, 1, rank, 0)]), 0);
};

/** Y = α·A'·B' + β·C of each model. */
export const gemmOverModels: ModelsRule = (call) => {
  const { b, models } = call;
  const m = math(b);
  const isTurned = call.int("transA", 0) !== 0;
  const [rowsOfC = 1] = (call.inputs[2]?.shape ?? []).slice(-2, -1);
  if (isCommonFrom(call, 1) && !isTurned && rowsOfC === 1) return asOneBatch()(call);
  const matrix = (index: 0 | 1): string =>
    isCommon(call, index)
      ? b.op("Reshape", [call.x(index), b.vector([1, ...call.input(index).shape])])
      : call.joint(index, 0, withModels(call.input(index).shape, models, 0));
  const { alpha, transA, transB } = call.node.attributes;
  const attributes = { ...(alpha && { alpha }), ...(transA && { transA }), ...(transB && { transB }) };
  const product = batched(call, matrix(0), matrix(1), attributes);
  if (!call.inputs[2]) return outputsAt([product], 0);
  const beta = call.float("beta", 1);
  const c = beside(call, 2, 2, 0);
  return outputsAt([m.add(product, beta === 1 ? c : m.mul(c, beta))], 0);
};
