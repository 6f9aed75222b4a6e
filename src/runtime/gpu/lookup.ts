import type { Graph, Node } from "../../graph/graph.js";
import { opOf } from "../../ops/index.js";
import type { Runtime } from "../runtime.js";
import type { Means } from "./context.js";
import { runsOwn } from "./nodes.js";
import { hostInputs } from "./step.js";

/** Whether a node runs on a GPU: without a kernel of ONNX Runtime, or by one that `findsKernel` knows of. */
export const kernelLookup =
  (means: Means, findsKernel: (node: Node, graph: Pick<Graph, "tensors">) => boolean): Runtime["hasKernel"] =>
  (node, graph) => {
    if (runsOwn(node, graph, means)) return true;
    const op = opOf(node);
    if (!op.types) return false;
    // what a kernel reads on the host must be known before it runs
    if (hostInputs(node).some((slot) => node.inputs[slot] && !graph.tensors.get(node.inputs[slot])?.data)) return false;
    return findsKernel(node, graph);
  };
