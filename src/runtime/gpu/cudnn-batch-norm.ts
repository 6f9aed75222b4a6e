import type { DType } from "../../graph/graph.js";
import type { Pointer } from "../ort-api.js";
import { type Cudnn, factors } from "./cudnn.js";

/** Batch norm in training on values of one type. */
export interface BatchNorm {
  forward(args: {
    x: Pointer;
    scale: Pointer;
    bias: Pointer;
    y: Pointer;
    mean: Pointer;
    inverse: Pointer;
    epsilon: number;
  }): void;
  backward(args: {
    x: Pointer;
    dy: Pointer;
    scale: Pointer;
    mean: Pointer;
    inverse: Pointer;
    dx: Pointer;
    dScale: Pointer;
    dBias: Pointer;
    epsilon: number;
  }): void;
}

/** cuDNN's batch norm in training over all axes but the second. */
export function batchNormOf(cudnn: Cudnn, dtype: DType, shape: readonly number[], deterministic: boolean): BatchNorm {
  const x = cudnn.tensor(dtype, shape);
  // persistent: one pass over what fits on the chip; it synchronises its blocks through memory
  const mode = deterministic ? 1 : 2;
  const vector = cudnn.create("Tensor");
  cudnn.call("cudnnDeriveBNTensorDescriptor", vector, x, mode);
  const [one, zero] = factors(dtype);
  return {
    forward({ x: input, scale, bias, y, mean, inverse, epsilon }) {
      cudnn.run(
        "cudnnBatchNormalizationForwardTraining",
        mode,
        one,
        zero,
        x,
        input,
        x,
        y,
        vector,
        scale,
        bias,
        1,
        0n,
        0n,
        epsilon,
        mean,
        inverse,
      );
    },
    backward({ x: input, dy, scale, mean, inverse, dx, dScale, dBias, epsilon }) {
      cudnn.run(
        "cudnnBatchNormalizationBackward",
        mode,
        one,
        zero,
        one,
        zero,
        x,
        input,
        x,
        dy,
        x,
        dx,
        vector,
        scale,
        dScale,
        dBias,
        epsilon,
        mean,
        inverse,
      );
    },
  };
}
