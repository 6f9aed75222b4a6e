import { Builder } from "./build.js";
import { backward } from "./gradient.js";
import { type DType, elementCount, type Graph, prune, type Tensor, tensorBytes, tensorOf } from "./graph.js";
import { appendLoss } from "./loss.js";
import { opOf } from "./ops/index.js";
import { appendUpdate, checkOptimizer } from "./optimizer.js";
import { parseNamed } from "./settings.js";

export interface TrainingOptions {
  /** `ce`, `ce:axis=1` or `mse`. */
  readonly loss: string;
  /** `sgd` or `adam`, with settings: `adam:lr=1e-3`. */
  readonly optimizer: string;
  /** Output that the loss is computed from; the first one if absent. */
  readonly output?: string;
}

/** Name of the gradient of a parameter in a training step. */
export const gradientName = (parameter: string): string => `${parameter}.grad`;

/**
 * The whole training step of a model as one graph: forward, loss, backward, update.
 *
 * Parameters, gradients and optimizer state lie in flat buffers, one of each per element type. A parameter that the
 * loss does not depend on stays as it is. Throws for an unknown loss or optimizer, a loss that does not fit the output,
 * an op without gradient on the path, or a model without trainable parameters.
 */
export function trainingStep(model: Graph, options: TrainingOptions): Graph {
  const optimizer = parseNamed(options.optimizer);
  checkOptimizer(optimizer);
  const outputName = options.output ?? model.outputs[0];
  if (!outputName) throw new Error(`no output: ${model.name}`);
  if (!model.outputs.includes(outputName))
    throw new Error(`unknown output: ${outputName} (one of ${model.outputs.join(", ")})`);
  const b = new Builder(model);
  b.phase = "loss";
  b.scope = "loss";
  const parts = appendLoss(b, tensorOf(model, outputName), parseNamed(options.loss));

  b.phase = "backward";
  b.category = "temporary";
  const seed = parts.gradient();
  b.redeclare({ ...b.type(seed), category: "gradient" });
  const parameters = new Set([...model.tensors.values()].filter((t) => t.category === "parameter").map((t) => t.name));
  const forward = b.nodes.slice(0, model.nodes.length);
  const gradients = backward(b, forward, new Map([[outputName, seed]]), parameters);
  if (gradients.size === 0) throw new Error(`no trainable parameters: ${model.name}`);

  const state = [...model.state];
  b.scope = "update";
  for (const [dtype, trained] of byType(model, gradients)) {
    const flat = flatten(b, dtype, trained, gradients);
    b.phase = "update";
    state.push(...appendUpdate(b, flat, optimizer));
    b.phase = "backward";
  }
  return prune({
    name: model.name,
    nodes: b.nodes,
    tensors: b.tensors,
    inputs: [...model.inputs, parts.target],
    outputs: [parts.loss],
    state,
    loss: parts.loss,
  });
}

/** Trained parameters by element type, those first whose size keeps the next one aligned to 64 bytes in a flat buffer. */
function byType(model: Graph, gradients: ReadonlyMap<string, string>): Map<DType, Tensor[]> {
  const groups = new Map<DType, Tensor[]>();
  for (const name of model.tensors.keys()) {
    if (!gradients.has(name)) continue;
    const tensor = tensorOf(model, name);
    groups.set(tensor.dtype, [...(groups.get(tensor.dtype) ?? []), tensor]);
  }
  const alignment = (t: Tensor): number => [64, 32, 16, 8, 4].find((n) => tensorBytes(t) % n === 0) ?? 2;
  for (const group of groups.values()) group.sort((a, z) => alignment(z) - alignment(a));
  return groups;
}

/** Lays the parameters and their gradients into one flat buffer each. */
function flatten(b: Builder, dtype: DType, trained: readonly Tensor[], gradients: ReadonlyMap<string, string>) {
  const count = trained.reduce((sum, t) => sum + elementCount(t.shape), 0);
  const suffix = dtype === "float32" ? "" : `.${dtype}`;
  const flat = {
    parameters: b.declare({ name: b.fresh(`parameters${suffix}`), dtype, shape: [count], category: "parameter" }),
    gradients: b.declare({ name: b.fresh(`gradients${suffix}`), dtype, shape: [count], category: "gradient" }),
  };
  let offsetBytes = 0;
  for (const tensor of trained) {
    b.redeclare({ ...tensor, within: { tensor: flat.parameters, offsetBytes } });
    const gradient = gradients.get(tensor.name) as string;
    const part = { tensor: flat.gradients, offsetBytes };
    // a gradient that another parameter has too (tied by a sum), or that no kernel writes, is copied into its place
    const own = placeWithin(b, gradient, part) ? gradient : b.op("Mul", [gradient, b.scalar(1, gradient)]);
    if (own !== gradient) placeWithin(b, own, part);
    b.redeclare({ ...b.type(own), category: "gradient", within: part });
    b.rename(own, b.fresh(gradientName(tensor.name)));
    offsetBytes += tensorBytes(tensor);
  }
  return flat;
}

/**
 * Gives the storage of a tensor its place in a flat buffer: the tensor's own, or that of the tensor it is a view of.
 * Answers whether it could: not if no node makes it or if it has a place already.
 */
export function placeWithin(b: Builder, name: string, within: NonNullable<Tensor["within"]>): boolean {
  const producer = b.producer(name);
  if (!producer) return false;
  if (opOf(producer).view) return placeWithin(b, producer.inputs[0] as string, within);
  const tensor = b.type(name);
  if (tensor.within || tensor.category === "activation") return false;
  b.redeclare({ ...tensor, category: "gradient", within });
  return true;
}
