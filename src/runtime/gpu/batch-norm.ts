import { elementCount, type Graph, type Node, type TensorType, tensorBytes } from "../../graph/graph.js";
import { bytesOf } from "../../graph/values.js";
import { type FusedBody, fusedAttributes, fusedGraph } from "../../ops/fused.js";
import { opOf } from "../../ops/index.js";
import type { Pointer } from "../ort-api.js";
import { type NodeContext, number, type OwnNode, typeIn } from "./context.js";
import { type BatchNorm, batchNormOf } from "./cudnn-batch-norm.js";
import { fusedSource } from "./source/fused.js";

const normOf = (context: NodeContext, name: string | undefined): BatchNorm => {
  const { dtype, shape } = typeIn(context.graph, name);
  return batchNormOf(context.cudnn, dtype, shape, context.deterministic);
};

/** cuDNN's gradient of a batch norm in training. */
export const batchNormGradient: OwnNode = {
  fits: (node, graph, { cudnn }) =>
    cudnn.supports(typeIn(graph, node.inputs[1]).dtype) && typeIn(graph, node.inputs[2]).dtype === "float32",
  prepare(node, context) {
    const [dy, x, scale, mean, inverse] = node.inputs.map(context.address) as Pointer[];
    const { shape } = typeIn(context.graph, node.inputs[2]);
    const norm = normOf(context, node.inputs[1]);
    const epsilon = number(node, "epsilon", 1e-5);
    const [dx, dScale, dBias] = node.outputs;
    const { workspace } = context;
    const bytes = (name: string | undefined): number => (name ? tensorBytes(typeIn(context.graph, name)) : 0);
    return () => {
      // cuDNN makes all three: what nothing reads goes into the workspace
      const spare = (name: string | undefined, size: number): { at: Pointer; own: boolean } =>
        name ? { at: context.address(name), own: false } : { at: workspace.take(size), own: true };
      const vector = 4 * elementCount(shape);
      const made = [spare(dx, bytes(node.inputs[1])), spare(dScale, vector), spare(dBias, vector)];
      try {
        norm.backward({
          x: x as Pointer,
          dy: dy as Pointer,
          scale: scale as Pointer,
          mean: mean as Pointer,
          inverse: inverse as Pointer,
          dx: made[0]?.at as Pointer,
          dScale: made[1]?.at as Pointer,
          dBias: made[2]?.at as Pointer,
          epsilon,
        });
      } finally {
        for (const { at, own } of made.reverse()) if (own) workspace.giveBack(at);
      }
    };
  },
};

/** cuDNN's batch norm in training; the running statistics are those of ONNX. */
export const batchNorm: OwnNode = {
  fits: (node, graph, { cudnn, compiles }) =>
    compiles &&
    cudnn.supports(typeIn(graph, node.inputs[0]).dtype) &&
    node.inputs.slice(1).every((name) => typeIn(graph, name).dtype === "float32"),
  prepare(node, context) {
    const [x, scale, bias, mean, variance] = node.inputs;
    const [y, newMean, newVariance, batchMean, batchInverse] = node.outputs;
    const vector = typeIn(context.graph, scale);
    const norm = normOf(context, x);
    const epsilon = number(node, "epsilon", 1e-5);
    const { workspace, address } = context;
    const bytes = tensorBytes(vector);
    const momentum = number(node, "momentum", 0.9);
    // cuDNN's own running variance is the unbiased one, ONNX's is not
    const names = [mean, variance] as [string, string];
    let statistics: [Pointer, Pointer] = [0n, 0n];
    const renew =
      newMean || newVariance
        ? context.launcher(
            fusedSource(
              runningStatistics(vector, epsilon, momentum, Boolean(newMean), Boolean(newVariance)),
              true,
              context.cuda.multiprocessors,
            ),
            () => [
              ...names.map(address),
              ...statistics,
              ...[newMean, newVariance].filter((name): name is string => Boolean(name)).map(address),
            ],
          )
        : undefined;
    return () => {
      const spare = (name: string | undefined): { at: Pointer; own: boolean } =>
        name ? { at: address(name), own: false } : { at: workspace.take(bytes), own: true };
      const made = [spare(batchMean), spare(batchInverse)] as const;
      statistics = [made[0].at, made[1].at];
      try {
        norm.forward({
          x: address(x as string),
          scale: address(scale as string),
          bias: address(bias as string),
          y: address(y as string),
          mean: made[0].at,
          inverse: made[1].at,
          epsilon,
        });
        renew?.();
      } finally {
        for (const { at, own } of [...made].reverse()) if (own) workspace.giveBack(at);
      }
    };
  },
};

/** (mean, variance, batch mean, batch 1/√(variance + ε)) → the next running mean and variance, as a fused node's inside. */
function runningStatistics(
  vector: TensorType,
  epsilon: number,
  momentum: number,
  mean: boolean,
  variance: boolean,
): Graph {
  const inner: FusedBody["nodes"][number][] = [];
  const op = (op: string, inputs: string[], output: string): string => {
    inner.push({ op, inputs, outputs: [output] });
    return output;
  };
  const blend = (before: string, batch: string, output: string): string =>
    op("Add", [op("Mul", [before, "c0"], `${output}_old`), op("Mul", [batch, "c1"], `${output}_new`)], output);
  if (mean) blend("x0", "x2", "y0");
  if (variance) {
    const spread = op("Reciprocal", [op("Mul", ["x3", "x3"], "square")], "spread");
    blend("x1", op("Sub", [spread, "c2"], "batch"), mean ? "y1" : "y0");
  }
  const scalar = (value: number) => ({
    dtype: vector.dtype,
    shape: [],
    dataBase64: Buffer.from(bytesOf(vector.dtype, [value])).toString("base64"),
  });
  const body: FusedBody = {
    nodes: inner,
    constants: { c0: scalar(momentum), c1: scalar(1 - momentum), c2: scalar(epsilon) },
    inPlace: [],
  };
  const outputs = [mean, variance].filter(Boolean).map((_, i) => `y${i}`);
  const node: Node = {
    name: "running statistics",
    domain: "mutwo",
    op: "Fused",
    inputs: ["x0", "x1", "x2", "x3"],
    outputs,
    attributes: fusedAttributes(body),
    phase: "forward",
  };
  return fusedGraph(opOf, node, [vector, vector, vector, vector]);
}
