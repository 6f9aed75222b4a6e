import { fusible, native, ofOutput0, sameType } from "./kinds.js";
import { math } from "./math.js";
import type { GradientCall, OpTable } from "./op.js";
import { reduceTo } from "./shapes.js";

/** A bound of Clip: a constant of its own where its value is known, so that no kernel reads the host's copy. */
const bound = (call: GradientCall, index: number): string | number | undefined =>
  call.inputs[index] ? (call.constant(index)?.[0] ?? call.x(index)) : undefined;

/** Clipping to two bounds. */
export const clipping: OpTable = {
  Clip: native(
    sameType,
    ofOutput0((call, dY) => {
      const m = math(call.b);
      const [low, high] = [bound(call, 1), bound(call, 2)];
      const masks = [
        low === undefined ? undefined : m.greaterOrEqual(call.x(0), low),
        high === undefined ? undefined : m.lessOrEqual(call.x(0), high),
      ].filter((mask) => mask !== undefined);
      const inside = masks.length ? masks.reduce((p, q) => m.and(p, q)) : undefined;
      /** The sum of dY where Y is a bound, whose rank is 0 or 1. */
      const summed = (mask: string, index: number): string =>
        reduceTo(call.b, m.masked(mask, dY), call.input(index).shape);
      // Y = min(max(X, low), high): where the bounds cross, Y is the upper one
      const isLow = (): string => {
        const under = m.less(call.x(0), call.x(1));
        return high === undefined ? under : m.and(under, m.lessOrEqual(call.x(1), call.x(2)));
      };
      const isHigh = (): string => {
        const over = m.greater(call.x(0), call.x(2));
        return low === undefined ? over : call.b.op("Or", [over, m.greater(call.x(1), call.x(2))]);
      };
      return [
        call.wants(0) ? (inside ? m.masked(inside, dY) : dY) : undefined,
        call.wants(1) ? summed(isLow(), 1) : undefined,
        call.wants(2) ? summed(isHigh(), 2) : undefined,
      ];
    }),
    {
      ...fusible,
      passes: true,
      inPlace: [0],
      hostInputs: [1, 2],
      gpuHostInputs: [],
      // before opset 11 the bounds are attributes
      normalize: (call) => {
        const { min, max } = call.node.attributes;
        if (!min && !max) return undefined;
        const { b, x } = call;
        const limit = (name: string): string | undefined =>
          call.node.attributes[name] ? b.scalar(call.float(name, 0), x(0)) : undefined;
        return [b.op("Clip", [x(0), limit("min"), limit("max")], {}, { name: call.node.name })];
      },
    },
  ),
};
