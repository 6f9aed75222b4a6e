import { Builder } from "../build/build.js";
import {
  bytesPerElement,
  consumers,
  elementCount,
  type Graph,
  int,
  type Node,
  producers,
  tensorOf,
} from "../graph/graph.js";
import { valuesOf } from "../graph/values.js";
import { callOf } from "../ops/call.js";
import { opOf } from "../ops/index.js";
import { math } from "../ops/math.js";
import { normalizeAxes } from "../ops/shapes.js";
import { fusible } from "./fusible.js";

/** The fast kernels of matrix products want rows that start at multiples of so many bytes. */
const rowBytes = 16;

/** Columns of rows that are made longer are a multiple of this many. */
const columns = 8;

/** Products with fewer operations take less time than what surrounds them. */
const leastFlops = 2e10;

/** What is known of where tensors are made and read. */
interface Uses {
  readonly graph: Graph;
  readonly made: ReadonlyMap<string, number>;
  readonly read: ReadonlyMap<string, readonly number[]>;
  /** Tensors that must stay as they are. */
  readonly kept: ReadonlySet<string>;
}

/** Everything that has the rows of one product: tensors by name, and the nodes that read them. */
interface Rows {
  readonly size: number;
  readonly tensors: ReadonlySet<string>;
  /** How each node that makes or reads one is written anew, by its rank. */
  readonly nodes: ReadonlyMap<number, Role>;
}

/** What a node is to rows. */
type Role =
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

/**
 * The graph with the rows of large products made a multiple of 16 bytes long, where their length is none, and all that is
 * done with them until a reduction or another product, with the columns that are added left out of every sum. A
 * vocabulary of 50 257 classes makes its three products two to seven times as slow as one of 50 264. The sums are the
 * same; products may add them up in another order. For runtimes that fuse: the masks are parts of fused nodes. Products of
 * fewer than `least` operations are left alone.
 */
export function alignRows(graph: Graph, least = leastFlops): Graph {
  const uses: Uses = {
    graph,
    made: producers(graph),
    read: consumers(graph),
    kept: new Set([...graph.outputs, ...graph.state.map(({ after }) => after)]),
  };
  const roles = new Map<number, Role>();
  const wide = new Set<string>();
  graph.nodes.forEach((node, rank) => {
    const rows = isSource(node, graph, least) && !roles.has(rank) ? rowsFrom(uses, rank) : undefined;
    // of two products whose rows meet in one node, one alone is made longer
    if (!rows || [...rows.nodes.keys()].some((other) => roles.has(other))) return;
    for (const [other, role] of rows.nodes) roles.set(other, role);
    for (const name of rows.tensors) wide.add(name);
  });
  return roles.size ? written(graph, roles, wide) : graph;
}

const turned = (node: Node, slot: 0 | 1): boolean => node.attributes[slot ? "transB" : "transA"]?.value === 1;

const isProduct = (node: Node): boolean => opOf(node).product === "matrices";

const shapeOf = (graph: Pick<Graph, "tensors" | "name">, name: string): readonly number[] =>
  tensorOf(graph, name).shape;

/** Whether a node is a large product of a matrix whose rows do not start where they should. */
function isSource(node: Node, graph: Graph, least: number): boolean {
  if (!isProduct(node)) return false;
  const [a, b, y] = [node.inputs[0], node.inputs[1], node.outputs[0]].map((name) => tensorOf(graph, name as string));
  if (!a || !b || !y || b.shape.length !== 2 || a.shape.length < 2) return false;
  const isOdd = ((y.shape.at(-1) as number) * bytesPerElement(y.dtype)) % rowBytes !== 0;
  const inner = b.shape[turned(node, 1) ? 1 : 0] as number;
  return isOdd && 2 * elementCount(y.shape) * inner >= least;
}

/** All that has the rows that a product makes; undefined if some node cannot do with longer ones. */
function rowsFrom(uses: Uses, start: number): Rows | undefined {
  const { graph, made, read } = uses;
  const source = graph.nodes[start] as Node;
  const size = shapeOf(graph, source.outputs[0] as string).at(-1) as number;
  const tensors = new Set<string>();
  const nodes = new Map<number, Role>([[start, "source"]]);
  const waiting = [source.outputs[0] as string];
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    if (tensors.has(name)) continue;
    if (!isFree(uses, name)) return undefined;
    tensors.add(name);
    for (const rank of read.get(name) ?? []) {
      const node = graph.nodes[rank] as Node;
      const role = roleOf(node, name, size, graph);
      if (!role || (nodes.has(rank) && nodes.get(rank) !== role)) return undefined;
      nodes.set(rank, role);
      if (role === "inside") waiting.push(node.outputs[0] as string);
    }
    // what is made for nothing else is made longer too
    for (const rank of [made.get(name) as number])
      if (rank !== start && !opOf(graph.nodes[rank] as Node).view)
        for (const other of (graph.nodes[rank] as Node).inputs) {
          const maker = made.get(other);
          if (maker === undefined || tensors.has(other) || !isMadeFor(uses, other, size)) continue;
          nodes.set(maker, "inside");
          waiting.push(other);
        }
  }
  // a node that reads rows of this kind twice, and not each as what it is to the other
  for (const [rank, role] of nodes)
    if (role === "contracts" || role === "passes")
      if ((graph.nodes[rank] as Node).inputs.filter((name) => tensors.has(name)).length > 1) return undefined;
  return { size, tensors, nodes };
}

/** Whether a tensor may have another shape. */
const isFree = ({ graph, kept }: Uses, name: string): boolean => !kept.has(name) && !tensorOf(graph, name).within;

/** Whether a tensor with such rows is made element by element, and can be longer for all who read it. */
function isMadeFor(uses: Uses, name: string, size: number): boolean {
  const { graph, made, read } = uses;
  const how = fusible(graph.nodes[made.get(name) as number] as Node, graph);
  return (
    isFree(uses, name) &&
    how?.reducedAxes === 0 &&
    how.shape.length > 1 &&
    how.shape.at(-1) === size &&
    (read.get(name) ?? []).every((rank) => roleOf(graph.nodes[rank] as Node, name, size, graph) === "inside")
  );
}

/** What a node that reads rows is to them; undefined if it wants them as they are. */
function roleOf(node: Node, name: string, size: number, graph: Graph): Role | undefined {
  const { inputs, outputs } = node;
  const out = outputs.length === 1 ? shapeOf(graph, outputs[0] as string) : undefined;
  if (!out) return undefined;
  const slot = inputs.indexOf(name);
  if (isProduct(node)) {
    if (slot > 1 || inputs[2] || shapeOf(graph, inputs[1 - slot] as string).length < 2) return undefined;
    if (shapeOf(graph, name).length !== 2) return undefined;
    return turned(node, slot as 0 | 1) === (slot === 0) ? "passes" : "contracts";
  }
  if (opOf(node).view) return slot === 0 && out.at(-1) === size && out.length > 0 ? "inside" : undefined;
  const how = fusible(node, graph);
  if (how?.reducedAxes === 1 && how.shape.at(-1) === size)
    return opOf(node).neutral === undefined ? undefined : "reduces";
  if (how && !how.reducedAxes) return out.at(-1) === size && out.length > 1 ? "inside" : undefined;
  return sumsRows(node, graph) ? "passes" : undefined;
}

/** Whether a node adds up rows and keeps their columns: the gradient of a bias. */
function sumsRows(node: Node, graph: Graph): boolean {
  if (opOf(node).fusible !== "rows") return false;
  const call = callOf(node, graph.tensors);
  const rank = call.input(0).shape.length;
  const given = call.inputs[1] ? call.constant(1) : call.ints("axes");
  return Boolean(given?.length) && !normalizeAxes(given as readonly number[], rank).includes(rank - 1);
}

const longer = (size: number): number => Math.ceil(size / columns) * columns;

/** Writes the graph with longer rows. */
function written(graph: Graph, roles: ReadonlyMap<number, Role>, wide: ReadonlySet<string>): Graph {
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
    if (!summed.has(result)) return this.write(given, role);
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
