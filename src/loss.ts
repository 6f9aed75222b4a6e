import type { Builder } from "./build.js";
import { int, type Tensor } from "./graph.js";
import { type Named, numericSettings } from "./settings.js";

/** What a loss adds to a graph. */
interface LossParts {
  /** Name of the scalar loss. */
  readonly loss: string;
  /** The labels or regression targets, to be given for each step. */
  readonly target: string;
  /** Emits the gradient of the loss with respect to the model's output and returns its name. */
  readonly gradient: () => string;
}

type Loss = (b: Builder, output: Tensor, named: Named) => LossParts;

/** Scalar with the mean of all elements of `x`. */
const mean = (b: Builder, x: string): string => b.op("ReduceMean", [x], { keepdims: int(0) });

/**
 * Softmax cross-entropy of class scores on one axis (default the last), averaged over all other positions.
 * Gradient: (softmax − one-hot) / positions.
 */
const ce: Loss = (b, output, named) => {
  const rank = output.shape.length;
  const settings = numericSettings(named, { axis: -1 });
  const axis = settings.axis < 0 ? settings.axis + rank : settings.axis;
  const classes = output.shape[axis];
  if (rank < 2 || classes === undefined || !Number.isInteger(axis))
    throw new Error(
      `loss ce does not fit output ${output.name} [${output.shape}]: no axis ${settings.axis} beside a batch`,
    );
  if (classes < 2)
    throw new Error(`loss ce does not fit output ${output.name} [${output.shape}]: only ${classes} class`);
  const shape = output.shape.filter((_, i) => i !== axis);
  const positions = shape.reduce((product, n) => product * n, 1);
  const target = b.declare({ name: b.fresh("target"), dtype: "int64", shape, category: "input" });
  const logProbabilities = b.op("LogSoftmax", [output.name], { axis: int(axis) });
  const index = b.op("Unsqueeze", [target, b.vector([axis])]);
  const picked = b.op("GatherElements", [logProbabilities, index], { axis: int(axis) });
  const loss = b.op("Neg", [mean(b, picked)], {}, { outputs: [b.fresh("loss")] });
  return {
    loss,
    target,
    gradient: () => {
      const probabilities = b.op("Exp", [logProbabilities]);
      const ones = b.constant("float32", b.type(index).shape, -1);
      const minusOneHot = output.dtype === "float32" ? ones : b.op("Cast", [ones], { to: int(onnxType(output)) });
      const difference = b.op("ScatterElements", [probabilities, index, minusOneHot], {
        axis: int(axis),
        reduction: { type: "string", value: "add" },
      });
      return b.op("Mul", [difference, b.scalar(1 / positions, output.name)]);
    },
  };
};

const onnxType = (tensor: Tensor): number => (tensor.dtype === "float64" ? 11 : tensor.dtype === "float16" ? 10 : 16);

/** Mean squared error over all elements. Gradient: 2 (output − target) / elements. */
const mse: Loss = (b, output, named) => {
  numericSettings(named, {});
  const count = output.shape.reduce((product, n) => product * n, 1);
  const target = b.declare({ name: b.fresh("target"), dtype: output.dtype, shape: output.shape, category: "input" });
  const difference = b.op("Sub", [output.name, target]);
  const loss = b.op(
    "ReduceMean",
    [b.op("Mul", [difference, difference])],
    { keepdims: int(0) },
    {
      outputs: [b.fresh("loss")],
    },
  );
  return { loss, target, gradient: () => b.op("Mul", [difference, b.scalar(2 / count, output.name)]) };
};

const losses: Readonly<Record<string, Loss>> = { ce, mse };

/** Names of the losses, for messages. */
export const lossNames = (): readonly string[] => Object.keys(losses);

/**
 * Appends a loss (`ce`, `ce:axis=1`, `mse`) to the model's output. Throws `unknown loss: …`, or if the loss does not
 * fit the output's type or shape.
 */
export function appendLoss(b: Builder, output: Tensor, named: Named): LossParts {
  const loss = losses[named.name];
  if (!loss) throw new Error(`unknown loss: ${named.name} (one of ${lossNames().join(", ")})`);
  if (!["float32", "float64", "float16", "bfloat16"].includes(output.dtype))
    throw new Error(`loss ${named.name} does not fit output ${output.name}: ${output.dtype}`);
  return loss(b, output, named);
}
