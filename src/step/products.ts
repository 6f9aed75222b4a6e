import { Builder } from "../build/build.js";
import { elementCount, type Graph, int, ints, type Node, tensorOf } from "../graph/graph.js";
import { opOf } from "../ops/index.js";

/** Whether a node is a product of matrices. */
export const isProduct = (node: Node): boolean => opOf(node).product === "matrices";

const flags = ["transA", "transB"] as const;

/** Whether a product reads an operand transposed. */
export const turned = (node: Node, slot: 0 | 1): boolean => node.attributes[flags[slot]]?.value === 1;

/** A product of these operands, transposed if asked: the same op if it can do that, else ONNX Runtime's own. */
export function withOperands(node: Node, inputs: readonly string[], transA: boolean, transB: boolean): Node {
  const attributes = { ...node.attributes, transA: int(transA ? 1 : 0), transB: int(transB ? 1 : 0) };
  return opOf(node).defaults?.transA
    ? { ...node, inputs, attributes }
    : { ...node, inputs, domain: "com.microsoft", op: "FusedMatMul", attributes };
}

/** Rows of the first operand that make it worth to transpose the second, and operations: fewer take as long as a launch. */
const least = { rows: 2048, flops: 2e9 };

/** Larger matrices are read more slowly than their layout costs, elements. */
const mostElements = 2 ** 23;

/**
 * The graph with the matrices that many rows are multiplied by transposed first, where the sums do not go along their
 * rows: tensor cores take float32 operands (TF32) at full speed only if both are stored along the sum. The same sums; the
 * product's kernel may add them up in another order. Smaller products than `from` are left alone.
 */
export function storeAlongSums(
  graph: Graph,
  hasKernel: (node: Node, graph: Pick<Graph, "tensors">) => boolean,
  from: { readonly rows: number; readonly flops: number } = least,
): Graph {
  const wanted = graph.nodes.map((node) => isProduct(node) && isAcross(node, graph, from));
  if (!wanted.includes(true)) return graph;
  const b = new Builder(graph, false);
  b.reserve(graph.nodes);
  graph.nodes.forEach((node, rank) => {
    const [x = "", matrix = "", ...others] = node.inputs;
    const turnedNode = (name: string): Node => withOperands(node, [x, name, ...others], false, true);
    if (!wanted[rank]) {
      b.append(node);
      return;
    }
    const { nodes, result } = b.apart({ phase: node.phase, scope: node.name, category: "temporary" }, () =>
      b.op("Transpose", [matrix], { perm: ints([1, 0]) }),
    );
    if (![...nodes, turnedNode(result)].every((one) => hasKernel(one, b))) {
      b.append(node);
      return;
    }
    for (const one of nodes) b.append(one);
    b.append(turnedNode(result));
  });
  return { ...graph, nodes: b.nodes, tensors: b.tensors };
}

/** Whether a product of many rows and a float32 matrix sums across the rows of that. */
function isAcross(node: Node, graph: Graph, from: typeof least): boolean {
  const [x, matrix] = node.inputs.map((name) => (name ? tensorOf(graph, name) : undefined));
  if (!x || !matrix || matrix.dtype !== "float32" || matrix.shape.length !== 2 || x.shape.length < 2) return false;
  if (turned(node, 0) || turned(node, 1)) return false;
  const [sums, columns] = matrix.shape as [number, number];
  const rows = elementCount(x.shape) / Math.max(1, sums);
  return (
    rows >= from.rows &&
    2 * rows * sums * columns >= from.flops &&
    elementCount(matrix.shape) <= mostElements &&
    sums % 4 === 0 &&
    columns % 4 === 0
  );
}
