import { elementCount, type Graph, isFloat, tensorBytes } from "../../graph/graph.js";
import type { Pointer } from "../ort-api.js";
import { type NodeContext, number, type OwnNode, typeIn } from "./context.js";
import { type NormSource, normGradientSource, normSource } from "./source/norm.js";
import type { NormType } from "./source/norm-kernels.js";
import { reducedShape } from "./source/reduce.js";

/** Whether a node's values and vectors of channels are of types that kernels are generated for. */
function isGenerated(graph: Pick<Graph, "tensors">, values: readonly string[], vectors: readonly string[]): boolean {
  const count = elementCount(typeIn(graph, values[0]).shape);
  const types = new Set(vectors.map((name) => typeIn(graph, name).dtype));
  const [vector] = types;
  return (
    count > 0 &&
    count < 2 ** 31 &&
    values.every((name) => isFloat(typeIn(graph, name).dtype)) &&
    new Set(values.map((name) => typeIn(graph, name).dtype)).size === 1 &&
    types.size === 1 &&
    (vector === "float32" || vector === "float64")
  );
}

function typeOf({ graph, address, cuda }: NodeContext, values: readonly string[], vector: string): NormType {
  const { dtype, shape } = typeIn(graph, values[0]);
  // the only axis that stays is the channel's
  const over = reducedShape(
    shape,
    shape.flatMap((_, axis) => (axis === 1 ? [] : [axis])),
  );
  return {
    shape: over as NonNullable<typeof over>,
    dtype,
    vector: typeIn(graph, vector).dtype,
    aligned: values.every((name) => address(name) % 16n === 0n),
    multiprocessors: cuda.multiprocessors,
  };
}

/** Runs work with pieces of the workspace of these sizes. */
function withPieces({ workspace }: NodeContext, sizes: readonly number[], work: (pieces: Pointer[]) => void): void {
  const pieces: Pointer[] = [];
  try {
    for (const size of sizes) pieces.push(workspace.take(size));
    work(pieces);
  } finally {
    for (const at of pieces.reverse()) workspace.giveBack(at);
  }
}

/** The kernels of a norm in turn; `operands` gives what each is launched on, behind the parts or vectors in the workspace. */
function launches(
  { launcher }: NodeContext,
  { sums, finish, apply }: NormSource,
  operands: { sums: () => Pointer[]; finish: () => Pointer[]; apply: () => Pointer[] },
): () => void {
  const steps = [launcher(sums, operands.sums), launcher(finish, operands.finish)];
  if (apply) steps.push(launcher(apply, operands.apply));
  return () => {
    for (const step of steps) step();
  };
}

/** The gradient of a batch norm in training, in generated kernels. */
export const batchNormGradient: OwnNode = {
  fits: ({ inputs }, graph, { compiles }) =>
    compiles && isGenerated(graph, inputs.slice(0, 2) as string[], inputs.slice(2, 5) as string[]),
  prepare(node, context) {
    const [dy, x, scale, mean, inverse] = node.inputs as [string, string, string, string, string];
    const [dx, dScale, dBias] = node.outputs;
    const { address } = context;
    const wanted = { dX: Boolean(dx), dScale: Boolean(dScale), dBias: Boolean(dBias) };
    const type = typeOf(context, [dy, x, ...(dx ? [dx] : [])], scale);
    const source = normGradientSource(type, wanted);
    const vector = tensorBytes(typeIn(context.graph, scale));
    const sizes = [source.partsBytes, ...(dx ? [vector, vector, vector] : [])];
    const vectors = [dScale, dBias].filter((name): name is string => Boolean(name)).map(address);
    let [parts, ...coefficients] = sizes.map((): Pointer => 0n) as [Pointer, ...Pointer[]];
    const run = launches(context, source, {
      sums: () => [address(dy), address(x), address(mean), parts],
      finish: () => [parts, address(scale), address(inverse), ...coefficients, ...vectors],
      apply: () => [address(dy), address(x), address(mean), ...coefficients, address(dx as string)],
    });
    return () =>
      withPieces(context, sizes, (pieces) => {
        [parts, ...coefficients] = pieces as [Pointer, ...Pointer[]];
        run();
      });
  },
};

/** Batch norm in training, in generated kernels; the running variance is ONNX's, the biased one. */
export const batchNorm: OwnNode = {
  fits: ({ inputs }, graph, { compiles }) =>
    compiles && isGenerated(graph, inputs.slice(0, 1) as string[], inputs.slice(1, 5) as string[]),
  prepare(node, context) {
    const [x, scale, bias, oldMean, oldVariance] = node.inputs as [string, string, string, string, string];
    const [y, newMean, newVariance, batchMean, batchInverse] = node.outputs;
    const { address } = context;
    const source = normSource(typeOf(context, [x, y as string], scale), number(node, "epsilon", 1e-5), {
      momentum: number(node, "momentum", 0.9),
      mean: Boolean(newMean),
      variance: Boolean(newVariance),
    });
    const vector = tensorBytes(typeIn(context.graph, scale));
    const renewed = [
      ...(newMean ? [address(oldMean), address(newMean)] : []),
      ...(newVariance ? [address(oldVariance), address(newVariance)] : []),
    ];
    // statistics that nothing reads go into the workspace
    const sizes = [source.partsBytes, ...(batchMean ? [] : [vector]), ...(batchInverse ? [] : [vector])];
    let parts: Pointer = 0n;
    let statistics: Pointer[] = [];
    const run = launches(context, source, {
      sums: () => [address(x), parts],
      finish: () => [parts, address(x), ...statistics, ...renewed],
      apply: () => [address(x), address(scale), address(bias), ...statistics, address(y as string)],
    });
    return () =>
      withPieces(context, sizes, ([first, ...spare]) => {
        parts = first as Pointer;
        statistics = [batchMean, batchInverse].map((name) => (name ? address(name) : (spare.shift() as Pointer)));
        run();
      });
  },
};
