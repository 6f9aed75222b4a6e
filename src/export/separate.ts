import { Builder } from "../build/build.js";
import { elementCount, type Graph, type Node, type Tensor } from "../graph/graph.js";
import { opOf } from "../ops/index.js";
import { FlatParts, type Part } from "./flat-parts.js";

/**
 * The training step without flat buffers: the update is written out for each parameter, and each has an optimizer state
 * of its own, `NAME.velocity` beside `NAME`. Element for element the same numbers.
 *
 * Where a node needs a whole buffer (the norm over all gradients, say) its parts are concatenated for it.
 */
export function separate(graph: Graph): Graph {
  const b = new Builder(graph, false);
  const flat = new FlatParts(graph, b);
  for (const node of graph.nodes) {
    b.phase = node.phase;
    b.scope = node.name;
    b.category = "temporary";
    const like = node.inputs.map((name) => flat.of(name)).find((parts) => parts !== undefined);
    if (like && isPerPart(b, flat, node, like)) writePerPart(b, flat, node, like);
    else writeWhole(b, flat, node);
  }
  b.phase = "update";
  b.scope = "update";
  const state = graph.state.flatMap((one) => stateOfParts(flat, one));
  const tensors = new Map([...b.tensors].map(([name, { within: _, ...tensor }]): [string, Tensor] => [name, tensor]));
  return { ...graph, nodes: b.nodes, tensors, state };
}

/** Whether a node can be written out for each part: all it reads has such parts, or is one number for all of them. */
function isPerPart(b: Builder, flat: FlatParts, node: Node, like: readonly Part[]): boolean {
  const fits = (name: string): boolean =>
    name !== "" && (flat.cutLike(name, like) || (!flat.of(name) && elementCount(b.type(name).shape) === 1));
  return opOf(node).pointwise === true && node.inputs.every(fits);
}

/** The node once for each part. */
function writePerPart(b: Builder, flat: FlatParts, node: Node, like: readonly Part[]): void {
  const whole = node.outputs[0] ?? "";
  const { category } = b.type(whole);
  const parts = like.map((part, i): Part => {
    const inputs = node.inputs.map((name) => flat.of(name)?.[i]?.tensor ?? name);
    const own = { name: `${node.name}/${part.parameter}`, outputs: [flat.nameOf(whole, part)] };
    const [tensor = ""] = b.add(node.op, inputs, node.attributes, { domain: node.domain, ...own, category });
    return { ...part, tensor };
  });
  flat.set(whole, parts);
}

/** The node as it is, on flat tensors that are joined for it. */
function writeWhole(b: Builder, flat: FlatParts, node: Node): void {
  const inputs = node.inputs.map((name) => {
    const parts = flat.of(name);
    return parts ? flat.join(name, parts) : name;
  });
  b.append({ ...node, inputs });
  flat.noteWritten(node);
}

/** The state of each part in place of a flat one; a state that is not flat as it is. */
function stateOfParts(flat: FlatParts, { before, after }: Graph["state"][number]): Graph["state"] {
  const like = flat.of(before) ?? flat.of(after);
  if (!like) return [{ before, after }];
  if (!flat.cutLike(before, like)) throw new Error(`state without parts: ${before}`);
  const next = flat.of(after) ?? flat.slices(after, like);
  const parts = flat.of(before) ?? [];
  return parts.map(({ tensor }, i) => ({ before: tensor, after: (next[i] as Part).tensor }));
}
