import { Builder } from "./build.js";
import { expand } from "./expand.js";
import { type Graph, type Node, prune } from "./graph.js";
import { opOf } from "./ops/index.js";
import { placeWithin } from "./training.js";

/**
 * The same graph with every node that the runtime has no kernel for replaced by its op's body in standard ops. Tensors
 * that other nodes read keep their names. Throws `no kernel: <op> <dtype> (node <name>)` where there is no body either.
 */
export function lower(graph: Graph, hasKernel: (node: Node, graph: Pick<Graph, "tensors">) => boolean): Graph {
  const b = new Builder(graph, false);
  const add = (node: Node): void => {
    const op = opOf(node);
    if (op.view || (op.types && hasKernel(node, b))) {
      b.append(node);
      return;
    }
    const first = node.inputs[0] ? b.tensors.get(node.inputs[0]) : undefined;
    if (!op.body) throw new Error(`no kernel: ${node.op} ${first?.dtype ?? ""} (node ${node.name})`);
    const body = expand(b, node, op.body);
    for (const inner of body?.nodes ?? []) add(inner);
    node.outputs.forEach((name, i) => {
      if (name) settle(b, body?.results[i] ?? "", name, node);
    });
  };
  for (const node of graph.nodes) add(node);
  return prune({ ...graph, nodes: b.nodes, tensors: b.tensors });
}

/** Makes a body's result known by the name that the lowered node's output had. */
function settle(b: Builder, result: string, name: string, node: Node): void {
  const wanted = b.type(name);
  const made = b.tensors.get(result);
  if (!made) throw new Error(`body of ${node.op} gives no output ${name} (node ${node.name})`);
  if (made.shape.join() !== wanted.shape.join() || made.dtype !== wanted.dtype)
    throw new Error(
      `shape mismatch: body of ${node.op} gives [${made.shape}] for ${name} [${wanted.shape}] (node ${node.name})`,
    );
  const producer = b.producer(result);
  const isOwn = producer !== undefined && !node.inputs.includes(result);
  const isView = isOwn && opOf(producer).view;
  // a part of a flat buffer that the body makes as a view: what it shows lies in the part's place
  if (isOwn && (!isView || !wanted.within || placeWithin(b, result, wanted.within))) {
    b.rename(result, name);
    b.redeclare(wanted);
    return;
  }
  // the result is an input of the node, or a view that cannot lie in the flat buffer: give it storage of its own
  b.scope = node.name;
  b.phase = node.phase;
  b.add("Mul", [result, b.scalar(1, result)], {}, { outputs: [name] });
}
