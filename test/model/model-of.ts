import { bytesOf } from "../../src/graph/values.js";
import type { Initializer, Model, ModelNode } from "../../src/model/model.js";

/** A model file of these nodes, x float32[2] → y float32[2], but for what is said otherwise. */
export const modelOf = (nodes: readonly ModelNode[], more: Partial<Model> = {}): Model => ({
  irVersion: 8,
  opset: 18,
  opsets: { "": 18 },
  producer: "",
  graphName: "g",
  inputs: [{ name: "x", dtype: "float32", dims: [2] }],
  outputs: [{ name: "y", dtype: "float32", dims: [2] }],
  initializers: new Map(),
  nodes,
  valueInfo: [],
  metadata: {},
  graphMetadata: {},
  ...more,
});

/** Initializers that are float32 vectors. */
export const vectorsOf = (values: Readonly<Record<string, readonly number[]>>): Map<string, Initializer> =>
  new Map(
    Object.entries(values).map(([name, numbers]) => [
      name,
      { dtype: "float32", shape: [numbers.length], data: bytesOf("float32", [...numbers]) },
    ]),
  );
