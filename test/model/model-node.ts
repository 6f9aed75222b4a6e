import type { ModelNode, Subgraph } from "../../src/model/model.js";

/** A node of a model file as text: `y = Op(a, b)`; it is called like its output. */
export function modelNode(text: string, subgraphs?: Record<string, Subgraph>): ModelNode {
  const [output = "", op = "", inputs = ""] = text.split(/ = |\(|\)/);
  const names = inputs.split(", ").filter((one) => one !== "");
  return {
    name: output,
    domain: "",
    op,
    inputs: names,
    outputs: [output],
    attributes: {},
    ...(subgraphs && { subgraphs }),
  };
}
