import type { Builder } from "../build/build.js";
import { NodeError } from "../graph/errors.js";
import { elementCount, int, is16Bit, type Node, type Tensor } from "../graph/graph.js";
import { chunkName } from "../graph/names.js";
import { opOf } from "../ops/index.js";
import { cast, reshape } from "../ops/shapes.js";
import { backward, dependents } from "./gradient.js";
import type { LossInRows, LossParts } from "./loss.js";

/** What a loss in slices of rows is told beside the graph. */
interface InRows {
  /** Number of slices, at most that of the rows. */
  readonly chunks: number;
  /** Tensors whose gradients are wanted. */
  readonly wanted: ReadonlySet<string>;
  /** The gradient from which the backward phase of a slice starts. */
  readonly seedOf: (gradient: LossParts["gradient"]) => string;
}

/** The end of a model: its last matrix product and what stands behind it, each row of which is made of one row. */
interface Head {
  readonly nodes: readonly Node[];
  /** What the product multiplies, row by row. */
  readonly rows: string;
}

/**
 * Computes the last matrix product, the loss and the backward phase of both in slices of rows, one after the other, so
 * that only one slice of the model's output and of its gradient is there at a time. Returns the loss, and the gradients
 * of what the product and the nodes behind it read. The same sums in another order.
 *
 * Throws `chunks of the loss: …` with the node that is in the way if the nodes from the last product on do not make each
 * row of one row.
 */
export function appendInRows(
  b: Builder,
  forward: readonly Node[],
  output: string,
  { target, part }: LossInRows,
  { chunks, wanted, seedOf }: InRows,
): { loss: string; seeds: Map<string, string> } {
  const { scope } = b;
  const head = headOf(b, output);
  const needed = dependents(forward, wanted);
  const own = new Set(head.nodes.flatMap(({ outputs }) => outputs));
  const operands = [...new Set(head.nodes.flatMap(({ inputs }) => inputs))].filter(
    (name) => needed.has(name) && !own.has(name) && name !== head.rows,
  );
  const { shape } = b.type(head.rows);
  const all = inOne(b, head.rows, shape.length - 1);
  const targets = inOne(b, target, b.type(target).shape.length);
  const count = elementCount(b.type(target).shape);
  const seeds = new Map<string, string>();
  const parts: string[] = [];
  let loss: string | undefined;
  for (let chunk = 1; chunk <= chunks; chunk++) {
    b.phase = "loss";
    b.category = "activation";
    b.scope = chunkName(scope, chunk);
    const [begin, end] = [chunk - 1, chunk].map((i) => Math.floor((i * count) / chunks)) as [number, number];
    const rows = rowsOf(b, all, shape.length - 2, begin, end);
    const labels = rowsOf(b, targets, b.type(targets).shape.length - 1, begin, end);
    const { nodes, made } = appendHead(b, head, rows, chunk);
    b.scope = chunkName(scope, chunk);
    const { loss: share, gradient } = part(b.type(made), labels);
    loss = loss === undefined ? share : b.op("Add", [loss, share]);

    b.phase = "backward";
    b.category = "temporary";
    const seed = seedOf(gradient);
    b.redeclare({ ...b.type(seed), category: "gradient" });
    const starts = needed.has(head.rows) ? [...operands, rows] : operands;
    const found = backward(b, nodes, new Map([[made, seed]]), new Set(starts));
    b.scope = chunkName(scope, chunk);
    for (const name of operands) addTo(b, seeds, name, found.get(name));
    parts.push(...[found.get(rows)].filter((name) => name !== undefined));
  }
  b.scope = scope;
  if (parts.length) {
    const whole = b.op("Concat", parts, { axis: int(shape.length - 2) }, { category: "gradient" });
    seeds.set(head.rows, reshape(b, whole, shape));
  }
  return { loss: loss as string, seeds };
}

const hint =
  "each row must be made of one row: by MatMul or Gemm with one matrix for all rows, element-wise ops with one operand for all rows, casts, and reshapes that keep the last axis";

/** Walks from the output back to the last matrix product. Throws if a node on the way mixes rows. */
function headOf(b: Builder, output: string): Head {
  const nodes: Node[] = [];
  for (let name = output; ; ) {
    const node = b.producer(name);
    if (!node) throw new Error(`chunks of the loss: output ${output} is made by no matrix product`);
    const rows = rowInput(b, node);
    if (rows === undefined)
      throw new NodeError(`chunks of the loss: ${node.op} is between the last matrix product and the loss`, node, {
        hint,
      });
    nodes.unshift(node);
    if (opOf(node).product) return { nodes, rows };
    name = rows;
  }
}

/** The input of whose rows a node makes its rows, one of each; undefined if it does anything else. */
function rowInput(b: Builder, node: Node): string | undefined {
  const { inputs, outputs } = node;
  const op = opOf(node);
  const [x = "", weight = "", bias = ""] = inputs;
  const made = b.type(outputs[0] as string);
  if (outputs.length !== 1 || made.shape.length < 2) return undefined;
  if (op.product) {
    const fits =
      node.domain === "" &&
      (node.op === "MatMul" || (node.op === "Gemm" && !node.attributes.transA?.value)) &&
      b.type(x).shape.length >= 2 &&
      b.type(weight).shape.length === 2 &&
      (!bias || isForAllRows(b.type(bias), made));
    return fits ? x : undefined;
  }
  if (op.view) {
    const { shape } = b.type(x);
    return shape.length >= 2 && shape.at(-1) === made.shape.at(-1) ? x : undefined;
  }
  if (!op.pointwise || op.random) return undefined;
  const [only, ...others] = [...new Set(inputs)].filter((name) => name && !isForAllRows(b.type(name), made));
  return only !== undefined && others.length === 0 && b.type(only).shape.join() === made.shape.join()
    ? only
    : undefined;
}

/** Whether every row of a result meets the same values of an operand. */
const isForAllRows = ({ shape }: Tensor, made: Tensor): boolean =>
  shape.slice(0, -1).every((n) => n === 1) && [undefined, 1, made.shape.at(-1)].includes(shape.at(-1));

/** A tensor with its first `axes` axes as one: the last of them, the others of size 1. */
function inOne(b: Builder, name: string, axes: number): string {
  const { shape } = b.type(name);
  const first = shape.slice(0, axes);
  return reshape(b, name, [...first.map((_, i) => (i === axes - 1 ? elementCount(first) : 1)), ...shape.slice(axes)]);
}

const rowsOf = (b: Builder, name: string, axis: number, begin: number, end: number): string =>
  b.op("Slice", [name, b.vector([begin]), b.vector([end]), b.vector([axis])]);

/** Appends the head's nodes for some rows of what its product reads. */
function appendHead(b: Builder, head: Head, rows: string, chunk: number): { nodes: Node[]; made: string } {
  const start = b.nodes.length;
  const count = b.type(rows).shape.at(-2) as number;
  let before = head.rows;
  let made = rows;
  for (const node of head.nodes) {
    const { name, op, domain, outputs, attributes } = node;
    const [output = ""] = outputs;
    const { shape } = b.type(output);
    b.scope = chunkName(name, chunk);
    if (opOf(node).view) {
      made = reshape(b, made, [...shape.slice(0, -2).map(() => 1), count, shape.at(-1) as number]);
    } else {
      const inputs = node.inputs.map((input) => (input === before ? made : input));
      made = b.op(op, inputs, attributes, { domain, name: chunkName(name, chunk) });
    }
    before = output;
  }
  return { nodes: b.nodes.slice(start), made };
}

/** Adds a slice's gradient of an operand to those before; of one cast to 16 bits the sum is of what it was cast from. */
function addTo(b: Builder, seeds: Map<string, string>, operand: string, gradient: string | undefined): void {
  if (gradient === undefined) return;
  const maker = b.producer(operand);
  const source = maker?.op === "Cast" && is16Bit(b.type(operand).dtype) ? (maker.inputs[0] as string) : operand;
  const own = cast(b, gradient, b.type(source).dtype);
  const sum = seeds.get(source);
  seeds.set(source, sum === undefined ? own : b.op("Add", [sum, own], {}, { category: "gradient" }));
}
