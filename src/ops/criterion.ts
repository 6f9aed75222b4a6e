import { int, type TensorType } from "../graph/graph.js";
import { composite } from "./composite.js";
import type { Emit } from "./emit.js";
import { inputSize } from "./kinds.js";
import { math } from "./math.js";
import type { BodyCall, OpCall, OpTable } from "./op.js";
import { cast, reshape, sameShape } from "./shapes.js";

/** Throws `shape mismatch: …` for a target that does not fit. */
function lossType(call: OpCall): TensorType {
  const [x, target] = [call.input(0), call.input(1)];
  const { op, name } = call.node;
  if (x.shape.length < 2 || !sameShape([x.shape[0] as number, ...x.shape.slice(2)], target.shape))
    throw new Error(`shape mismatch: target [${target.shape}] for scores [${x.shape}] (op ${op}, node ${name})`);
  if (call.inputs[2] && !sameShape(call.input(2).shape, [x.shape[1] as number]))
    throw new Error(
      `shape mismatch: weights [${call.input(2).shape}] for scores [${x.shape}] (op ${op}, node ${name})`,
    );
  const reduction = call.text("reduction", "mean");
  return { dtype: x.dtype, shape: reduction === "none" ? target.shape : [] };
}

/** −w[target]·logs[target], reduced: the weighted mean divides by the weights' sum, ignored targets weigh nothing. */
function negativeLikelihood(call: BodyCall, logs: string): string {
  const { b } = call;
  const m = math(b);
  const { dtype } = call.input(0);
  const { shape } = call.input(1);
  const ignore = call.node.attributes.ignore_index && call.int("ignore_index", 0);
  const target = call.x(1);
  const ignored = ignore === undefined ? undefined : m.equal(target, b.constant(call.input(1).dtype, [], ignore));
  const index = ignored ? m.where(ignored, b.constant(call.input(1).dtype, [], 0), target) : target;
  const [n = 1, ...rest] = shape;
  const picked = b.op("GatherElements", [logs, reshape(b, index, [n, 1, ...rest])], { axis: int(1) });
  const values = reshape(b, m.neg(picked), shape);
  const counted = ignored ? cast(b, m.not(ignored), dtype) : undefined;
  const given = call.inputs[2] ? b.op("Gather", [call.x(2), index], { axis: int(0) }) : undefined;
  const weights = given && counted ? m.mul(given, counted) : (given ?? counted);
  const each = weights ? m.mul(values, weights) : values;
  return reduced(b, each, weights, call.text("reduction", "mean"));
}

function reduced(b: Emit, each: string, weights: string | undefined, reduction: string): string {
  if (reduction === "none") return each;
  const total = (x: string): string => b.op("ReduceSum", [x], { keepdims: int(0) });
  if (reduction === "sum") return total(each);
  return weights ? math(b).div(total(each), total(weights)) : b.op("ReduceMean", [each], { keepdims: int(0) });
}

const choices = { reduction: ["none", "sum", "mean"] };

/** Losses that a model file may hold. */
export const criterion: OpTable = {
  NegativeLogLikelihoodLoss: composite(
    (call) => [lossType(call)],
    (call) => [negativeLikelihood(call, call.x(0))],
    { flops: inputSize, buffers: { 2: "weights of the classes" }, choices },
  ),
  SoftmaxCrossEntropyLoss: composite(
    (call) => [lossType(call), call.input(0)],
    (call) => {
      const logs = call.b.op("LogSoftmax", [call.x(0)], { axis: int(1) });
      return [negativeLikelihood(call, logs), logs];
    },
    { flops: (call) => 6 * inputSize(call), buffers: { 2: "weights of the classes" }, choices },
  ),
};
