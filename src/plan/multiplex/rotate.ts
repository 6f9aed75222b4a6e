import { NodeError } from "../../graph/errors.js";
import { type Graph, int, type Node, prune, type Tensor, tensorOf } from "../../graph/graph.js";
import { shiftedName } from "../../graph/names.js";
import { bytesOf } from "../../graph/values.js";
import { shownBy } from "../../memory/views.js";
import { opOf } from "../../ops/index.js";
import { inStages, merge, type Ring, type Sections, sectionsOf } from "./ring.js";

/** A joint graph multiplexed: what is run before, over and over, and last. */
export interface Rotation {
  /**
   * One step of all members. It begins with the backward phase of the first member, whose forward phase the step before
   * has run, and ends with the first member's forward phase of the next step: that reads the next step's inputs
   * (`m0/x@ahead`), and leaves what its backward phase needs as state. Losses and updates are those of this step.
   */
  readonly graph: Graph;
  /** The first member's forward phase alone: run once before the first step, on that step's inputs. */
  readonly prologue: Graph;
  /** The step without the forward phase of a next one: the last step. It fits the arena of `graph`. */
  readonly epilogue: Graph;
  /** What the prologue makes, and the tensors of the step that it is the first value of. */
  readonly carried: ReadonlyMap<string, string>;
  /** States that the prologue renews: running statistics. Their values go into the step under the same names. */
  readonly renewed: readonly string[];
}

const ahead = (name: string): string => name && shiftedName(name, "ahead");
const carriedName = (name: string): string => shiftedName(name, "carried");

/** What the first member's forward phase makes, and what becomes of it where the phase is run a step ahead. */
class Cut {
  readonly made: ReadonlySet<string>;
  /** Tensors that are made a step ahead and read in the next one, without views. */
  readonly carried = new Set<string>();
  /** What nodes outside the forward phase read instead of what it makes. */
  readonly instead = new Map<string, string>();
  /** Views that they need again. */
  readonly views = new Set<Node>();
  readonly tensors: Map<string, Tensor>;
  readonly inputs: string[] = [];
  private readonly makers: ReadonlyMap<string, Node>;
  /** States that the forward phase renews, by their next values. */
  private readonly renews: ReadonlyMap<string, string>;
  /** Residents of which others renew a part. */
  private readonly changing: ReadonlySet<string>;
  private readonly given: ReadonlySet<string>;

  constructor(
    private readonly graph: Graph,
    readonly forward: readonly Node[],
  ) {
    this.tensors = new Map(graph.tensors);
    this.makers = new Map(forward.flatMap((node) => node.outputs.filter(Boolean).map((name) => [name, node])));
    this.made = new Set(this.makers.keys());
    this.renews = new Map(graph.state.flatMap(({ before, after }) => (this.made.has(after) ? [[after, before]] : [])));
    this.changing = new Set(
      graph.state.flatMap(({ before, after }) => (this.made.has(after) ? [] : [this.wholeOf(before)])),
    );
    this.given = new Set(graph.inputs);
  }

  private wholeOf(name: string): string {
    return this.graph.tensors.get(name)?.within?.tensor ?? name;
  }

  /** A node outside the forward phase needs a tensor. */
  need(name: string): void {
    if (!this.made.has(name) || this.instead.has(name)) return;
    const maker = this.makers.get(name) as Node;
    const before = this.renews.get(name);
    if (before !== undefined) {
      this.instead.set(name, before);
      return;
    }
    this.instead.set(name, carriedName(name));
    const { host, ...type } = tensorOf(this.graph, name);
    this.tensors.set(carriedName(name), {
      ...type,
      ...(host ? { host } : {}),
      name: carriedName(name),
      category: "activation",
    });
    if (shownBy(maker) !== undefined && !opOf(maker).swap) {
      this.views.add(maker);
      for (const input of maker.inputs) this.need(input);
    } else this.carried.add(name);
  }

  /** A node of the forward phase, run a step ahead. */
  ahead(node: Node): Node {
    const { random } = opOf(node);
    const { seed } = node.attributes;
    if (random && !(random === "int" && seed?.type === "int"))
      throw new NodeError("random numbers of a next step cannot be drawn ahead", node, {
        hint: "let another model be the first",
      });
    return {
      ...node,
      name: ahead(node.name),
      inputs: node.inputs.map((name) => this.inputAhead(name)),
      outputs: node.outputs.map((name) => {
        if (name) this.tensors.set(ahead(name), { ...tensorOf(this.graph, name), name: ahead(name) });
        return ahead(name);
      }),
      // the first step's numbers are drawn by the prologue; a kernel's seed is one more in each run
      ...(random && seed?.type === "int" ? { attributes: { ...node.attributes, seed: int(seed.value + 1) } } : {}),
    };
  }

  private inputAhead(name: string): string {
    if (!name || this.made.has(name)) return ahead(name);
    const tensor = tensorOf(this.graph, name);
    if (this.given.has(name)) {
      if (!this.tensors.has(ahead(name))) this.inputs.push(ahead(name));
      this.tensors.set(ahead(name), { ...tensor, name: ahead(name) });
      return ahead(name);
    }
    if (!this.changing.has(this.wholeOf(name))) return name;
    const { data: _, ...type } = tensor;
    const within = tensor.within ?? { tensor: name, offsetBytes: 0 };
    this.tensors.set(ahead(name), { ...type, name: ahead(name), category: "temporary", within, renewed: true });
    return ahead(name);
  }

  /**
   * The first member's views of this step, from what the step before has made, and copies of what must outlast the making
   * of the next step's: outputs, and what is read at the end.
   */
  again(lasting: ReadonlySet<string>): Node[] {
    const read = (name: string): string => this.instead.get(name) ?? name;
    const views = this.forward.filter((node) => this.views.has(node));
    const nodes = views.map(
      (node): Node => ({
        ...node,
        name: carriedName(node.name),
        inputs: node.inputs.map(read),
        outputs: node.outputs.map((name) => this.instead.get(name) ?? ""),
        phase: "backward",
      }),
    );
    for (const name of lasting) {
      if (!this.made.has(name)) continue;
      const { dtype } = tensorOf(this.graph, name);
      const one = carriedName(`${name}/one`);
      this.tensors.set(one, { name: one, dtype, shape: [], category: "constant", data: bytesOf(dtype, [1]) });
      const copy = { domain: "", op: "Mul", attributes: {}, phase: "loss" as const };
      nodes.push({ ...copy, name: carriedName(`${name}/copy`), inputs: [read(name), one], outputs: [name] });
    }
    return nodes;
  }
}

/** A cut of the first member's sections; a copy to the host that it begins is complete before the step ends. */
function cutOf(graph: Graph, { forward, rest }: Sections): { readonly cut: Cut; readonly rest: Node[] } {
  const leaves = (node: Node): boolean => opOf(node).swap === "outWait";
  return { cut: new Cut(graph, [...forward, ...rest.filter(leaves)]), rest: rest.filter((node) => !leaves(node)) };
}

/**
 * A joint graph, planned or not, multiplexed in the order of a ring of two members or more. All that it computes is the
 * same, bit for bit. Throws where the first member's forward phase draws random numbers that cannot be drawn ahead.
 */
export function rotate(planned: Graph, ring: Ring): Rotation {
  const { sections, others } = sectionsOf(planned.nodes, ring);
  const { cut, rest: first } = cutOf(planned, sections[0] as Sections);
  const after = [...first, ...sections.slice(1).flatMap(({ forward, rest }) => [...forward, ...rest])];
  for (const node of after) for (const name of node.inputs) cut.need(name);
  const lasting = new Set([...planned.outputs, ...others.flatMap(({ inputs }) => inputs)]);
  for (const name of lasting) cut.need(name);
  const read = (node: Node): Node =>
    node.inputs.some((name) => cut.instead.has(name))
      ? { ...node, inputs: node.inputs.map((name) => cut.instead.get(name) ?? name) }
      : node;
  const own = new Set([...ring.own, ...cut.forward.map(({ name }) => ahead(name))]);
  const before = new Map([...ring.before].flatMap(([name, at]) => [[name, at] as const, [ahead(name), at] as const]));
  const next = cut.forward.map((node) => cut.ahead(node));
  const halves = sections.map(({ rest }, i): Node[] => {
    const isLast = i === sections.length - 1;
    const backward = i === 0 ? [...cut.again(lasting), ...first.map(read)] : rest.map(read);
    const forward = isLast ? next : (sections[i + 1] as Sections).forward.map(read);
    return merge([...backward, ...(isLast ? others : [])], forward, { ...ring, own, before });
  });
  const isOfFirst = ({ after }: Graph["state"][number]): boolean => cut.made.has(after);
  const state = planned.state.map((pair) => (isOfFirst(pair) ? { ...pair, after: ahead(pair.after) } : pair));
  const kept = [...cut.carried].map((name) => ({ before: carriedName(name), after: ahead(name) }));
  const inputs = [...planned.inputs, ...cut.inputs];
  const whole: Graph = {
    ...planned,
    tensors: cut.tensors,
    inputs,
    state: [...state, ...kept],
    nodes: inStages(halves, ring),
  };
  const graph = prune(whole);
  const isNext = new Set(next.map(({ name }) => name));
  const { loss: _, trials: __, ...rest } = planned;
  return {
    graph,
    prologue: prune({
      ...rest,
      nodes: cut.forward,
      outputs: [...cut.carried],
      state: planned.state.filter(isOfFirst),
    }),
    epilogue: prune({
      ...graph,
      nodes: graph.nodes.filter(({ name }) => !isNext.has(name)),
      state: planned.state.filter((pair) => !isOfFirst(pair)),
    }),
    carried: new Map([...cut.carried].map((name) => [name, carriedName(name)])),
    renewed: planned.state.filter(isOfFirst).map(({ before }) => before),
  };
}
