import { Builder } from "../build/build.js";
import { expand } from "../build/expand.js";
import { type Attributes, type Graph, int, type Node, prune, type Tensor } from "../graph/graph.js";
import { orderName } from "../graph/names.js";
import { callOf } from "../ops/call.js";
import { isSameInBoth, lastForm, lastOrder, toLast, turn } from "../ops/channels-last.js";
import { opOf } from "../ops/index.js";
import { normalizeAxes } from "../ops/shapes.js";
import { asImage, type ImageSlots, imagesOf, isConvolution, type LayoutGains, lastNodes } from "./layout-regions.js";

/**
 * The graph with the images of whole regions around convolutions in another order, [N, H, W, C] for [N, C, H, W], where
 * the convolutions gain more than it takes to reorder images at the regions' borders. What the graph takes and gives
 * stays as it is.
 */
export function channelsLast(
  graph: Graph,
  gains: LayoutGains,
  hasKernel: (node: Node, graph: Pick<Graph, "tensors">) => boolean,
): Graph {
  if (!graph.nodes.some(isConvolution)) return graph;
  const b = new Builder(graph, false);
  const forms = graph.nodes.map((node) => formOf(b, node));
  const known = { ...graph, nodes: forms, tensors: b.tensors };
  const slots = new Map<number, ImageSlots>();
  for (const [rank, node] of forms.entries()) {
    const own = imagesOf(node, known, hasKernel);
    if (own) slots.set(rank, own);
  }
  const chosen = lastNodes(known, gains, slots);
  if (!chosen.size) return graph;
  const writer = new Writer(b, graph);
  for (const [rank, node] of graph.nodes.entries())
    if (chosen.has(rank)) writer.addLast(forms[rank] as Node, slots.get(rank) as ImageSlots);
    else writer.addFirst(node);
  return prune({ ...graph, nodes: b.nodes, tensors: b.tensors });
}

/** The node as which one takes part: the only one of its body where its record says so. */
function formOf(b: Builder, node: Node): Node {
  const { axesIn, body } = opOf(node);
  if (axesIn !== "body" || !body) return node;
  const [inner, ...more] = expand(b, node, body)?.nodes ?? [];
  return inner && !more.length ? { ...inner, name: node.name, outputs: node.outputs } : node;
}

/** Writes nodes in one order or the other, and what turns images where they meet. */
class Writer {
  /** Names of images by their names in the graph, where their channels are first or last. */
  private readonly names = { first: new Map<string, string>(), last: new Map<string, string>() };
  private readonly kept: ReadonlySet<string>;

  constructor(
    private readonly b: Builder,
    graph: Graph,
  ) {
    const within = [...graph.tensors.values()].filter((tensor) => tensor.within).map(({ name }) => name);
    this.kept = new Set([...graph.outputs, ...graph.state.map(({ after }) => after), ...within]);
  }

  /** A node as it is. */
  addFirst(node: Node): void {
    const inputs = node.inputs.map((name) => this.turned(name, "first", node));
    this.b.append({ ...node, inputs });
  }

  /** A node with the channels of its images last. */
  addLast(node: Node, slots: ImageSlots): void {
    const { b } = this;
    const record = opOf(node);
    const bias = node.inputs[record.images?.bias ?? -1];
    const inputs = node.inputs.map((name, i) => {
      if (slots.inputs.includes(i)) return this.turned(name, "last", node);
      return bias && i === record.images?.bias ? "" : this.turned(name, "first", node);
    });
    this.settings(node);
    const made: Node = record.images
      ? { ...node, ...lastForm(node), inputs }
      : { ...node, ...this.withAxes(node, inputs) };
    const turned = new Map<string, string>();
    const outputs = made.outputs.map((name, i) => {
      if (!name || !slots.outputs.includes(i)) return name;
      const own = this.kept.has(name) ? b.fresh(orderName(name, "last")) : name;
      turned.set(name, own);
      return own;
    });
    this.declare({ ...made, outputs }, bias);
    for (const [name, own] of turned) {
      this.names.last.set(name, own);
      if (own !== name) this.settle(name, own);
    }
  }

  /** Adds a node whose outputs may have other shapes than they had, and the bias that it does not add itself. */
  private declare(node: Node, bias: string | undefined): void {
    const { b } = this;
    const [output = ""] = node.outputs;
    const made = bias ? { ...node, outputs: [b.fresh(`${b.scope}/unbiased`)] } : node;
    b.infer(made).forEach(({ dtype, shape }, i) => {
      const name = made.outputs[i];
      if (!name) return;
      const known: Partial<Tensor> = b.tensors.get(name) ?? {};
      const tensor = { category: b.category, ...known, name, dtype, shape };
      if (known.name) b.redeclare(tensor);
      else b.declare(tensor);
      if (bias) b.redeclare({ ...b.type(output), shape });
    });
    b.append(made);
    // one number for each channel, which is the last axis
    if (bias) b.add("Add", [made.outputs[0] as string, bias], {}, { outputs: [output] });
  }

  /** Makes an image with its channels first, which must be known by its name in the graph, of one with its channels last. */
  private settle(name: string, last: string): void {
    const { b } = this;
    const wanted = b.type(name);
    this.names.first.set(name, name);
    const made = turn(b, last, "first", name);
    // a view lies where what it shows lies
    if (wanted.within && made === name && opOf(b.producer(name) as Node).view) b.placeWithin(last, wanted.within);
    b.redeclare(wanted);
  }

  /** Attributes and inputs of a node that names axes, with the axes where they are then. */
  private withAxes(node: Node, inputs: readonly string[]): { inputs: readonly string[]; attributes: Attributes } {
    const { b } = this;
    const { axesIn } = opOf(node);
    const { attributes } = node;
    const call = callOf(node, b.tensors);
    const moved = (axes: readonly number[]): number[] =>
      normalizeAxes(axes, 4).map((axis) => lastOrder(4).indexOf(axis));
    const put = (slot: number, values: readonly number[]) => ({
      attributes,
      inputs: inputs.map((name, i) => (i === slot ? b.vector(values) : name)),
    });
    if (axesIn === "axis")
      return { inputs, attributes: { ...attributes, axis: int(moved([call.int("axis", 0)])[0] as number) } };
    if (typeof axesIn !== "object") return { inputs, attributes };
    const axes = axesIn.axes === undefined ? undefined : call.constant(axesIn.axes);
    if (axes) return put(axesIn.axes as number, moved(axes));
    const slot = axesIn.each as number;
    const values = call.need(slot);
    const parts = values.length / 4;
    return put(slot, Array.from({ length: parts }, (_, part) => toLast(values.slice(4 * part, 4 * part + 4))).flat());
  }

  /** The name of an image in one order or the other; of other tensors their own. */
  private turned(name: string, to: "first" | "last", node: Node): string {
    if (!name) return name;
    const { b, names } = this;
    const known = names[to].get(name);
    if (known) return known;
    const from = names[to === "first" ? "last" : "first"].get(name);
    if (to === "first" && !from) return name;
    this.settings(node);
    const made = to === "first" ? turn(b, from as string, "first", b.fresh(orderName(name, "first"))) : this.made(name);
    names[to].set(name, made);
    if (to === "last") names.first.set(name, name);
    return made;
  }

  /** An image with its channels last, of one with its channels first, or of what is broadcast to such. */
  private made(name: string): string {
    const { b } = this;
    const tensor = b.type(name);
    const shape = asImage(tensor.shape);
    const own = b.fresh(orderName(name, "last"));
    if (!isSameInBoth(shape)) return turn(b, name, "last", own);
    if (tensor.category === "constant" && tensor.data) return b.declare({ ...tensor, name: own, shape: toLast(shape) });
    return b.op("Reshape", [name, b.vector(toLast(shape))], {}, { outputs: [own] });
  }

  private settings({ phase, name }: Node): void {
    Object.assign(this.b, { phase, scope: name, category: phase === "forward" ? "activation" : "temporary" });
  }
}
