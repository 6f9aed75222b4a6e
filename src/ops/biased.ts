import type { Emit } from "./emit.js";
import { fastGelu, fastGeluGradient, gelu, geluGradient } from "./gelu.js";
import { inferBroadcast, native, ofOutput0 } from "./kinds.js";
import { math } from "./math.js";
import type { BodyCall, Op, OpTable } from "./op.js";
import { axisOfLargest, beside, elementByElement, outputsAt } from "./over-models.js";
import { reduceTo } from "./shapes.js";

/**
 * An activation of x + bias, the bias optional: both get the same gradient, summed for the bias. `plain` is the op without
 * a bias: that of kernels is one for all rows.
 */
const biased = (
  plain: string,
  body: (b: Emit, x: string) => string,
  gradient: (b: Emit, x: string, dY: string) => string,
): Op => {
  const shifted = (call: Pick<BodyCall, "b" | "x" | "inputs">): string =>
    call.inputs[1] ? math(call.b).add(call.x(0), call.x(1)) : call.x(0);
  return native(
    inferBroadcast(),
    ofOutput0((call, dY) => {
      const dX = gradient(call.b, shifted(call), dY);
      const bias = call.inputs[1];
      return [call.wants(0) ? dX : undefined, bias && call.wants(1) ? reduceTo(call.b, dX, bias.shape) : undefined];
    }),
    {
      pointwise: true,
      holds: { 1: "weight" },
      overModels: (call) => {
        if (!call.inputs[1]) return elementByElement(call);
        const rank = call.input(0).shape.length;
        const at = axisOfLargest(call, rank);
        const sum = math(call.b).add(beside(call, 0, rank, at), beside(call, 1, rank, at));
        return outputsAt([call.b.op(plain, [sum], {}, { domain: "com.microsoft", name: call.node.name })], at);
      },
      body: (call) => [body(call.b, shifted(call))],
    },
  );
};

/** Activation functions of a sum with a bias. */
export const biasedActivation: OpTable = {
  "com.microsoft:FastGelu": biased("FastGelu", fastGelu, fastGeluGradient),
  "com.microsoft:BiasGelu": biased("Gelu", gelu, geluGradient),
};
