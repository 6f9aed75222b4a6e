import { consumers, type Graph, type Node, producers, prune, tensorOf } from "../graph/graph.js";
import { isProduct, turned, withOperands } from "./products.js";

/** Whether a node exchanges the last two axes and leaves the others. */
function exchanges(node: Node | undefined): boolean {
  if (node?.op !== "Transpose" || node.domain !== "") return false;
  const perm = node.attributes.perm?.value as readonly number[] | undefined;
  if (!perm || perm.length < 2) return false;
  const rank = perm.length;
  return perm.every((axis, i) => axis === (i < rank - 2 ? i : 2 * rank - 3 - i));
}

/**
 * The graph with transposed operands and results of matrix products read and written as they are by the product itself
 * (cuBLAS transposes for nothing): Transpose(W)·x, and (A·B)ᵀ as Bᵀ·Aᵀ. Transposes that nothing reads any more go.
 */
export function absorbTransposes(graph: Graph, hasKernel: (node: Node, graph: Graph) => boolean): Graph {
  const read = consumers(graph);
  const kept = new Set([...graph.outputs, ...graph.state.map(({ after }) => after)]);
  const nodes = [...graph.nodes];
  const made = producers(graph);
  const rankOf = (name: string): number => tensorOf(graph, name).shape.length;

  nodes.forEach((original, rank) => {
    if (!isProduct(original)) return;
    let node = original;
    for (const slot of [0, 1] as const)
      for (;;) {
        const name = node.inputs[slot] as string;
        const source = nodes[made.get(name) ?? -1];
        if (!exchanges(source) || node.inputs.some((input) => input && rankOf(input) < 2 && input !== node.inputs[2]))
          break;
        const inputs = node.inputs.map((input, i) => (i === slot ? ((source as Node).inputs[0] as string) : input));
        const trans = [turned(node, 0), turned(node, 1)] as [boolean, boolean];
        trans[slot] = !trans[slot];
        const next = withOperands(node, inputs, ...trans);
        if (!hasKernel(next, graph)) break;
        node = next;
      }
    nodes[rank] = node;
  });

  // a result that is only read transposed is made so
  nodes.forEach((transpose, rank) => {
    if (!exchanges(transpose)) return;
    const name = transpose.inputs[0] as string;
    const at = made.get(name) ?? -1;
    const product = nodes[at];
    if (!product || !isProduct(product) || product.inputs[2]) return;
    if ((read.get(name) ?? []).length !== 1 || kept.has(name) || tensorOf(graph, name).within) return;
    const [a, b] = product.inputs as [string, string];
    if (rankOf(a) !== rankOf(name) || rankOf(b) !== rankOf(name)) return;
    const swapped = withOperands(product, [b, a], !turned(product, 1), !turned(product, 0));
    const whole = { ...swapped, outputs: transpose.outputs };
    if (product.phase !== transpose.phase || !hasKernel(whole, graph)) return;
    // where the transpose stood: what it writes over may be read until then
    nodes[rank] = whole;
    nodes[at] = { ...product, outputs: [""] };
  });
  return prune({ ...graph, nodes: nodes.filter((node) => node.outputs.some(Boolean)) });
}
