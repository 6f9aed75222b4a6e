import { Builder } from "../build/build.js";
import { type Graph, int, type Node, producers, tensorOf } from "../graph/graph.js";
import { valuesOf } from "../graph/values.js";
import { opOf } from "../ops/index.js";
import { math } from "../ops/math.js";
import { isProduct, turned } from "./products.js";

/** Columns of rows that are made longer are a multiple of this many. */
const columns = 8;

/** What a node is to rows. */
export type Role =
  /** A product that makes them of the columns of its second operand. */
  | "source"
  /** Each element by itself, or a view that keeps the rows. */
  | "inside"
  /** One value a row. */
  | "reduces"
  /** A product that sums over a row, which is its first or second operand. */
  | "contracts"
  /** What its result has of each column stays apart: cut off behind it. */
  | "passes";

/** Shape of a tensor of a graph. */
export const shapeOf = (graph: Pick<Graph, "tensors" | "name">, name: string): readonly number[] =>
  tensorOf(graph, name).shape;

/** The length of rows of `size` elements once they are made longer. */
export const longer = (size: number): number => Math.ceil(size / columns) * columns;

/** The graph with the rows of the tensors `wide` made longer; `roles` says what each node that makes or reads one is to them, by its rank. */
export function withLongerRows(graph: Graph, roles: ReadonlyMap<number, Role>, wide: ReadonlySet<string>): Graph {
  const tensors = new Map(graph.tensors);
  for (const name of wide) {
    const tensor = tensorOf(graph, name);
    tensors.set(name, { ...tensor, shape: tensor.shape.with(-1, longer(tensor.shape.at(-1) as number)) });
  }
  const b = new Builder({ tensors, nodes: [] }, false);
  b.reserve(graph.nodes);
  const rows = new RowWriter(b, graph, wide, summed(graph, roles, wide));
  graph.nodes.forEach((node, rank) => {
    const role = roles.get(rank);
    b.phase = node.phase;
    b.scope = node.name;
    b.category = "temporary";
    if (role) rows.add(node, role);
    else b.append(node);
  });
  return { ...graph, nodes: b.nodes, tensors: b.tensors };
}

/** Longer tensors that products sum over, seen through views. */
function summed(graph: Graph, roles: ReadonlyMap<number, Role>, wide: ReadonlySet<string>): ReadonlySet<string> {
  const made = producers(graph);
  const found = new Set<string>();
  for (const [rank, role] of roles)
    if (role === "contracts")
      for (const read of (graph.nodes[rank] as Node).inputs.filter((name) => wide.has(name))) {
        let name = read;
        for (let maker = graph.nodes[made.get(name) as number]; maker && opOf(maker).view; ) {
          name = maker.inputs[0] as string;
          maker = graph.nodes[made.get(name) as number];
        }
        found.add(name);
      }
  return found;
}

/** Writes nodes that have to do with longer rows. */
class RowWriter {
  constructor(
    private readonly b: Builder,
    private readonly graph: Graph,
    private readonly wide: ReadonlySet<string>,
    /** Those whose added columns must be zero. */
    private readonly summed: ReadonlySet<string>,
  ) {}

  add(given: Node, role: Role): void {
    const { b, summed } = this;
    const [result = ""] = given.outputs;
    if (!summed.has(result)) {
      this.write(given, role);
      return;
    }
    const raw = b.declare({ ...b.type(result), name: b.fresh(`${result}.raw`) });
    this.write({ ...given, outputs: [raw] }, role);
    b.append({
      name: b.fresh(`${given.name}/Where`),
      domain: "",
      op: "Where",
      inputs: [this.mask(this.shape(result).at(-1) as number), raw, b.scalar(0, raw)],
      outputs: [result],
      attributes: {},
      phase: given.phase,
    });
  }

  private write(node: Node, role: Role): void {
    const { b, wide } = this;
    const inputs = [...node.inputs];
    const at = inputs.findIndex((name) => wide.has(name));
    if (role === "source") {
      const matrix = inputs[1] as string;
      inputs[1] = this.padded(matrix, turned(node, 1) ? 0 : 1);
      if (inputs[2] && this.shape(inputs[2]).at(-1) !== 1) inputs[2] = this.padded(inputs[2], -1);
      b.append({ ...node, inputs });
    } else if (role === "inside") this.addInside(node, inputs);
    else if (role === "reduces") this.addReduction(node, inputs);
    else if (role === "contracts") {
      const other = 1 - at;
      // the sum goes over what has been added: zeros of both
      const axis = turned(node, other as 0 | 1) === (other === 0) ? -2 : -1;
      inputs[other] = this.padded(inputs[other] as string, axis);
      b.append({ ...node, inputs });
    } else this.addCut(node, inputs, at);
  }

  private shape(name: string): readonly number[] {
    return shapeOf(this.graph, name);
  }

  private addInside(node: Node, inputs: string[]): void {
    const { b, wide } = this;
    const [output = ""] = node.outputs;
    const longerSize = b.type(output).shape.at(-1) as number;
    if (opOf(node).view) {
      b.add("Reshape", [inputs[0], b.vector(b.type(output).shape)], {}, { name: node.name, outputs: node.outputs });
      return;
    }
    const isShort = (name: string): boolean => {
      const last = name && !wide.has(name) ? this.shape(name).at(-1) : undefined;
      return last !== undefined && last > 1 && last !== longerSize;
    };
    b.append({ ...node, inputs: inputs.map((name) => (isShort(name) ? this.padded(name, -1) : name)) });
  }

  private addReduction(node: Node, inputs: string[]): void {
    const { b } = this;
    const [from = ""] = inputs;
    const { neutral, averages } = opOf(node);
    const source = this.masked(from, neutral as number);
    if (!averages) {
      b.append({ ...node, inputs: inputs.with(0, source) });
      return;
    }
    const sum = b.op("ReduceSum", [source, b.vector([-1])], { keepdims: int(1) });
    const by = b.scalar(1 / (this.shape(from).at(-1) as number), sum);
    b.append({
      name: node.name,
      domain: "",
      op: "Mul",
      inputs: [sum, by],
      outputs: node.outputs,
      attributes: {},
      phase: node.phase,
    });
  }

  /** A node whose result has the added columns too: they are cut off. */
  private addCut(node: Node, inputs: string[], at: number): void {
    const { b } = this;
    const [output = ""] = node.outputs;
    const shape = this.shape(output);
    const size = this.shape(inputs[at] as string).at(-1) as number;
    const axis = isProduct(node) && at === 0 ? shape.length - 2 : shape.length - 1;
    const { within: _, ...tensor } = tensorOf(this.graph, output);
    const whole = b.declare({
      ...tensor,
      name: b.fresh(`${output}.longer`),
      shape: shape.with(axis, longer(size)),
      category: "temporary",
    });
    b.append({ ...node, inputs, outputs: [whole] });
    const none = shape.map(() => 0);
    // padding by less than nothing cuts off
    b.append({
      name: b.fresh(`${node.name}/Pad`),
      domain: "",
      op: "Pad",
      inputs: [whole, b.vector([...none, ...none.with(axis, size - longer(size))])],
      outputs: [output],
      attributes: {},
      phase: node.phase,
    });
  }

  /** A tensor with zeros behind what it has along an axis. */
  private padded(name: string, axis: number): string {
    const { b } = this;
    const { shape, dtype, data } = b.type(name);
    const none = shape.map(() => 0);
    const size = shape.at(axis) as number;
    if (data && shape.length === 1)
      return b.constant(
        dtype,
        [longer(size)],
        [...valuesOf(dtype, data), ...new Array<number>(longer(size) - size).fill(0)],
      );
    return b.op("Pad", [name, b.vector([...none, ...none.with(axis, longer(size) - size)])]);
  }

  /** Rows with a number in the place of the columns that were added. */
  private masked(name: string, value: number): string {
    return math(this.b).where(this.mask(this.shape(name).at(-1) as number), name, value);
  }

  /** Which of the columns were there before. */
  private mask(size: number): string {
    const values = Array.from({ length: longer(size) }, (_, i) => (i < size ? 1 : 0));
    return this.b.constant("bool", [longer(size)], values);
  }
}
