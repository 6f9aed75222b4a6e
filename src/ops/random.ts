import { NodeError } from "../graph/errors.js";
import { type DType, dtypeOfNumber, float, int, type TensorType } from "../graph/graph.js";
import { inputSize, native, ofOutput0, type Traits } from "./kinds.js";
import { math } from "./math.js";
import type { OpCall, OpTable } from "./op.js";
import { cast } from "./shapes.js";

const random: Traits = { deterministic: false, random: "float" };

/** Of the normal ops, and of the uniform ones. */
const defaults = { mean: float(0), scale: float(1), low: float(0), high: float(1) };

/** The element type that attribute `dtype` asks for. */
const askedType = (call: OpCall, otherwise: DType): DType =>
  call.node.attributes.dtype ? dtypeOfNumber(call.int("dtype", 1)) : otherwise;

const like = native((call) => [{ dtype: askedType(call, call.input(0).dtype), shape: call.input(0).shape }], "zero", {
  ...random,
  types: { T1: 0, T2: "y0" },
  defaults,
});

const ofShape = native(
  (call): TensorType[] => [{ dtype: askedType(call, "float32"), shape: call.ints("shape") ?? [] }],
  "zero",
  {
    ...random,
    types: { T: "y0" },
    defaults: { ...defaults, dtype: int(1) },
  },
);

/** Ops that draw random numbers: never run a second time. */
export const randomOps: OpTable = {
  // dX = dY·mask/(1 − ratio)
  Dropout: native(
    (call) => {
      const { dtype, shape } = call.input(0);
      const ratio = call.constant(1)?.[0] ?? call.float("ratio", 0);
      if (!(ratio >= 0 && ratio < 1)) throw new NodeError(`ratio of Dropout is ${ratio}, not from 0 to 1`, call.node);
      return [
        { dtype, shape },
        { dtype: "bool", shape },
      ];
    },
    ofOutput0((call, dY) => {
      if (call.inputs[2] === undefined) return [dY];
      const m = math(call.b);
      const ratio = call.inputs[1] ? call.constant(1)?.[0] : 0.5;
      const scaled =
        ratio === undefined
          ? m.div(dY, m.sub(1, cast(call.b, call.x(1), call.input(0).dtype)))
          : m.mul(dY, 1 / (1 - ratio));
      return [m.masked(call.y(1), scaled)];
    }),
    {
      ...random,
      random: "int",
      trainingInput: 2,
      inputTypes: "any",
      hostInputs: [1, 2],
      types: { T: 0, T1: 1, T2: "y1" },
      // without a training mode, with one that is off or with ratio 0 dropout hands its input on
      normalize: (call) => {
        const { b, node, x } = call;
        const on = call.inputs[2] && call.constant(2)?.[0] !== 0 && call.constant(1)?.[0] !== 0;
        if (!on) return [x(0), node.outputs[1] ? b.constant("bool", call.input(0).shape, 1) : ""];
        if (call.inputs[1]) return undefined;
        return b.add("Dropout", [x(0), b.constant("float32", [], 0.5), x(2)], node.attributes, {
          name: node.name,
          count: node.outputs[1] ? 2 : 1,
        });
      },
    },
  ),
  RandomNormalLike: like,
  RandomUniformLike: like,
  RandomNormal: ofShape,
  RandomUniform: ofShape,
  // one with probability x
  Bernoulli: native((call) => [{ dtype: askedType(call, call.input(0).dtype), shape: call.input(0).shape }], "zero", {
    ...random,
    flops: inputSize,
    types: null,
    body: (call) => {
      const drawn = call.b.op("RandomUniformLike", [call.x(0)]);
      const dtype = askedType(call, call.input(0).dtype);
      return [cast(call.b, math(call.b).less(drawn, call.x(0)), dtype)];
    },
  }),
  /** Classes drawn from each row of unnormalised log-probabilities. */
  Multinomial: native(
    (call): TensorType[] => [
      {
        dtype: dtypeOfNumber(call.int("dtype", 6), call.node.name),
        shape: [call.input(0).shape[0] as number, call.int("sample_size", 1)],
      },
    ],
    "zero",
    {
      ...random,
      types: { T1: 0, T2: "y0" },
      defaults: { sample_size: int(1), dtype: int(6) },
    },
  ),
};
