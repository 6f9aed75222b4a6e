import { type Graph, type Node, tensorBytes, tensorOf } from "../graph/graph.js";
import { placeOf } from "../graph/lanes.js";
import { callOf } from "../ops/call.js";
import { opOf } from "../ops/index.js";
import { shown } from "../schema.js";
import { firstOf, namesOf, repeated, unknown } from "./contradiction.js";
import type { SavedGraph } from "./run.js";

const unknownState = (which: "before" | "after", { state }: SavedGraph, tensors: Graph["tensors"]) =>
  firstOf(
    state,
    (pair, i) => !tensors.has(pair[which]) && `graph.state[${i}].${which} is ${shown(pair[which])}, which is no tensor`,
  );

/** Names that are given once, places in other tensors, what the graph takes and gives. */
function tensorsFit(saved: SavedGraph, { tensors }: Graph): string | undefined {
  const { inputs, outputs, loss } = saved;
  return (
    repeated("graph.tensors", namesOf(saved.tensors)) ??
    repeated("graph.nodes", namesOf(saved.nodes)) ??
    firstOf(saved.tensors, (tensor, i) => {
      if (!Number.isSafeInteger(tensorBytes(tensor)))
        return `graph.tensors[${i}].shape is ${shown(tensor.shape)}, more than there can be`;
      const data = tensors.get(tensor.name)?.data;
      if (data && data.length !== tensorBytes(tensor))
        return `graph.tensors[${i}].dataBase64 is of ${data.length} bytes, not ${tensorBytes(tensor)}`;
      if (!tensor.within) return false;
      const whole = tensors.get(tensor.within.tensor);
      const end = tensor.within.offsetBytes + tensorBytes(tensor);
      return (
        (!whole || whole.within || whole.name === tensor.name || end > tensorBytes(whole)) &&
        `graph.tensors[${i}].within is ${shown(tensor.within)}, which has no place for it`
      );
    }) ??
    unknown("graph.inputs", inputs, tensors, "tensor") ??
    unknown("graph.outputs", outputs, tensors, "tensor") ??
    unknownState("before", saved, tensors) ??
    unknownState("after", saved, tensors) ??
    (loss !== undefined && !tensors.has(loss) ? `graph.loss is ${shown(loss)}, which is no tensor` : undefined) ??
    firstOf(
      saved.trials ?? [],
      (trial, i) => !tensors.has(trial.loss) && `graph.trials[${i}].loss is ${shown(trial.loss)}, which is no tensor`,
    )
  );
}

/** Nodes read tensors that are there by then, and each tensor is made once. */
function scheduleFits({ nodes, tensors }: Graph): string | undefined {
  const made = new Map<string, number>();
  const place = (rank: number): string => `graph.nodes[${rank}]`;
  return (
    firstOf(nodes, ({ outputs }, rank) =>
      firstOf(outputs, (name, i) => {
        if (!name) return false;
        if (!tensors.has(name)) return `${place(rank)}.outputs[${i}] is ${shown(name)}, which is no tensor`;
        if (made.has(name)) return `${place(rank)}.outputs[${i}] is ${shown(name)}, which another node makes`;
        made.set(name, rank);
        return false;
      }),
    ) ??
    firstOf(nodes, ({ inputs }, rank) =>
      firstOf(inputs, (name, i) => {
        if (!name) return false;
        if (!tensors.has(name)) return `${place(rank)}.inputs[${i}] is ${shown(name)}, which is no tensor`;
        return (made.get(name) ?? -1) >= rank && `${place(rank)}.inputs[${i}] is ${shown(name)}, which is made later`;
      }),
    ) ??
    firstOf(nodes, (node, rank) => {
      const before = placeOf(nodes[rank - 1] ?? {}).stage;
      const { stage } = placeOf(node);
      return stage < before && `${place(rank)}.stage is ${stage}, which is before that of the node before it`;
    })
  );
}

/** What a node makes is what its op makes of its inputs; where a constant that decides it is not saved, anything. */
function typesFit(graph: Graph): string | undefined {
  return firstOf(graph.nodes, (node, rank) => {
    const place = `graph.nodes[${rank}]`;
    const op = known(node);
    if (typeof op === "string") return `${place}.op: ${op}`;
    if (op.hostInputs.some((i) => node.inputs[i] && !graph.tensors.get(node.inputs[i])?.data)) return false;
    try {
      const types = op.infer(callOf(node, graph.tensors));
      return firstOf(node.outputs, (name, i) => {
        if (!name) return false;
        const { dtype, shape } = tensorOf(graph, name);
        const type = types[i];
        return (
          (type?.dtype !== dtype || type.shape.join() !== shape.join()) &&
          `tensor ${shown(name)} is ${dtype}[${shape}], and ${place} makes ${type ? `${type.dtype}[${type.shape}]` : "no such output"}`
        );
      });
    } catch (error) {
      return `${place}: ${error instanceof TypeError || error instanceof RangeError ? "attributes and inputs do not fit" : lineOf(error)}`;
    }
  });
}

const lineOf = (error: unknown): string => (error as Error).message.split("\n")[0] as string;

/** The record of a node's op, or why there is none. */
function known(node: Node): ReturnType<typeof opOf> | string {
  try {
    return opOf(node);
  } catch (error) {
    return lineOf(error);
  }
}

/** The entries of the origins lead to entries of their lists, and are of nodes. */
function originsFit({ origins }: Graph): string | undefined {
  if (!origins) return undefined;
  const { modules, sources, nodes } = origins;
  return firstOf(nodes, ([, module, source], i) => {
    const place = `graph.origins.nodes[${i}]`;
    if (module >= modules.length) return `${place} is of module ${module}, and there are ${modules.length}`;
    return (
      source !== undefined &&
      source >= sources.length &&
      `${place} is of source ${source}, and there are ${sources.length}`
    );
  });
}

/** What does not fit in a saved graph: names, schedule, types, origins. Each check relies on those before it. */
export const contradictionInGraph = (saved: SavedGraph, graph: Graph): string | undefined =>
  tensorsFit(saved, graph) ?? scheduleFits(graph) ?? typesFit(graph) ?? originsFit(graph);
