import { elementCount, isFloat, tensorBytes } from "../../graph/graph.js";
import { opOf } from "../../ops/index.js";
import type { Pointer } from "../ort-api.js";
import { number, type OwnNode, typeIn } from "./context.js";
import { statisticsSource } from "./source/norm.js";

/** Mean and spread of each channel of a batch, in generated kernels; the running variance is ONNX's, the biased one. */
export const batchStatistics: OwnNode = {
  fits({ inputs }, graph, { compiles }) {
    const { dtype, shape } = typeIn(graph, inputs[0]);
    const running = inputs.slice(1).map((name) => typeIn(graph, name));
    const [count, types] = [elementCount(shape), new Set(running.map((vector) => vector.dtype))];
    const isWide = types.has("float32") || types.has("float64");
    return compiles && isFloat(dtype) && types.size === 1 && isWide && count > 0 && count < 2 ** 31;
  },
  prepare(node, context) {
    const [x, oldMean, oldVariance] = node.inputs as [string, string, string];
    const [newMean, newVariance, batchMean, batchInverse] = node.outputs;
    const { address, cuda, graph, launcher } = context;
    const { dtype, shape } = typeIn(graph, x);
    const vector = typeIn(graph, oldMean);
    const axis = opOf(node).channelsFirst ? shape.length - 1 : 1;
    const { sums, finish, partsBytes } = statisticsSource(
      {
        shape: {
          before: elementCount(shape.slice(0, axis)),
          kept: shape[axis] as number,
          after: elementCount(shape.slice(axis + 1)),
        },
        aligned: address(x) % 16n === 0n,
        multiprocessors: cuda.multiprocessors,
      },
      { x: dtype, vector: vector.dtype },
      number(node, "epsilon", 1e-5),
      { momentum: number(node, "momentum", 0.9), mean: Boolean(newMean), variance: Boolean(newVariance) },
    );
    const renewed = [
      ...(newMean ? [address(oldMean), address(newMean)] : []),
      ...(newVariance ? [address(oldVariance), address(newVariance)] : []),
    ];
    // statistics that nothing reads go into the workspace
    const spare = [batchMean, batchInverse].filter((name) => !name).map(() => tensorBytes(vector));
    let parts: Pointer = 0n;
    let statistics: Pointer[] = [];
    const steps = [
      launcher(sums, () => [address(x), parts]),
      launcher(finish, () => [parts, address(x), ...statistics, ...renewed]),
    ];
    return () =>
      context.workspace.withPieces([partsBytes, ...spare], ([first, ...pieces]) => {
        parts = first as Pointer;
        statistics = [batchMean, batchInverse].map((name) => (name ? address(name) : (pieces.shift() as Pointer)));
        for (const step of steps) step();
      });
  },
};
