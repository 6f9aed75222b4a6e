import type { ModelNode, Subgraph } from "../../src/model/model.js";

/**
 * A node of a model file as text: `y = Op(a, b)`, `y, mask = Op(a)`; it is called like its first output. Nothing between
 * two commas is an input left out.
 */
export function modelNode(text: string, subgraphs?: Record<string, Subgraph>): ModelNode {
  const [outputs = "", op = "", inputs = ""] = text.split(/ = |\(|\)/);
  const names = (list: string): string[] => (list === "" ? [] : list.split(", "));
  return {
    name: names(outputs)[0] ?? "",
    domain: "",
    op,
    inputs: names(inputs),
    outputs: names(outputs),
    attributes: {},
    ...(subgraphs && { subgraphs }),
  };
}
