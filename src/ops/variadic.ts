import { fusible, inferBroadcast, native, ofOutput0, outputSize, type Traits } from "./kinds.js";
import { math } from "./math.js";
import type { GradientCall, Op, OpTable } from "./op.js";
import { cast, reduceTo } from "./shapes.js";

/**
 * ONNX Runtime's kernels of variadic ops, called by themselves, take only their first input for given (1.29; Mean
 * crashes), so these always run as their bodies: a chain of binary ops.
 */
const variadic: Traits = {
  pointwise: true,
  inputTypes: "equal",
  types: null,
  flops: (call, outputs) => outputSize(outputs) * Math.max(1, call.inputs.length - 1),
};

/** The gradient goes to the inputs that equal the output, in equal parts where several do. */
const extremum = (comparison: "GreaterOrEqual" | "LessOrEqual"): Op =>
  native(
    inferBroadcast(),
    ofOutput0((call, dY) => {
      const { b } = call;
      const m = math(b);
      const y = call.y(0);
      if (call.inputs.length === 1) return [dY];
      const chosen = call.inputs.map((_, i) => cast(b, m.equal(call.x(i), y), call.input(0).dtype));
      const share = m.div(
        dY,
        chosen.reduce((sum, mask) => m.add(sum, mask)),
      );
      return call.inputs.map((input, i) =>
        input && call.wants(i) ? reduceTo(b, m.mul(share, chosen[i] as string), input.shape) : undefined,
      );
    }),
    {
      ...variadic,
      ...fusible,
      arithmetic: "bound",
      holds: { 0: "setting", 1: "setting", 2: "setting", 3: "setting" },
      body: ({ b, x, inputs }) => [
        inputs.map((_, i) => x(i)).reduce((p, q) => b.op("Where", [b.op(comparison, [p, q]), p, q])),
      ],
    },
  );

const toEveryInput = (part: (call: GradientCall, dY: string) => string) =>
  ofOutput0((call, dY) => {
    const gradient = part(call, dY);
    return call.inputs.map((input, i) =>
      input && call.wants(i) ? reduceTo(call.b, gradient, input.shape) : undefined,
    );
  });

/** Ops on any number of tensors, broadcast. */
export const variadicOps: OpTable = {
  Max: extremum("GreaterOrEqual"),
  Min: extremum("LessOrEqual"),
  Sum: native(
    inferBroadcast(),
    toEveryInput((_, dY) => dY),
    {
      ...variadic,
      arithmetic: "add",
      body: ({ b, x, inputs }) => [inputs.map((_, i) => x(i)).reduce((p, q) => math(b).add(p, q))],
    },
  ),
  Mean: native(
    inferBroadcast(),
    toEveryInput((call, dY) => math(call.b).mul(dY, 1 / call.inputs.length)),
    {
      ...variadic,
      body: ({ b, x, inputs }) => {
        const m = math(b);
        return [
          m.mul(
            inputs.map((_, i) => x(i)).reduce((p, q) => m.add(p, q)),
            1 / inputs.length,
          ),
        ];
      },
    },
  ),
};
