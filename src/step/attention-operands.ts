import { elementCount, type Graph, isFloat, type Node, producers, tensorOf } from "../graph/graph.js";
import { valuesOf } from "../graph/values.js";
import { headsFirst, type PositionAxis } from "../ops/fused-attention.js";
import { opOf } from "../ops/index.js";

/**
 * A tensor that an operand can be read from, in any float type: batch, heads and width in this order, and positions at
 * some place among them. Batch and heads may be one axis.
 */
export interface Operand {
  readonly name: string;
  /** The axis of the positions where batch and heads are two. */
  readonly positionAxis: PositionAxis;
  /** Batch and heads; batch·heads and 1 where nothing tells them apart. */
  readonly lead: readonly [number, number];
}

/** For the axes of [batch, heads, positions, width] as they lie in a tensor, the axis of the positions. */
const layouts: Readonly<Record<"own" | "transposed", Readonly<Record<string, PositionAxis>>>> = {
  own: { "0,1": 2, "0,1,2": 2, "1,0,2": 0, "0,1,2,3": 2, "0,2,1,3": 1, "1,2,0,3": 0 },
  transposed: { "1,0": 2, "0,2,1": 2, "1,2,0": 0, "0,1,3,2": 2, "0,2,3,1": 1, "1,2,3,0": 0 },
};

/** Whether a node is that op of ONNX's. */
export const isStandard = (node: Node | undefined, op: string): node is Node & { readonly domain: "" } =>
  node?.domain === "" && node.op === op;

/** What tensors of a graph are made from, as far as an attention's operands and scores go. */
export class Sources {
  private readonly made: ReadonlyMap<string, number>;

  constructor(private readonly graph: Graph) {
    this.made = producers(graph);
  }

  /** The node that makes a tensor. */
  maker(name: string): Node | undefined {
    const rank = this.made.get(name);
    return rank === undefined ? undefined : this.graph.nodes[rank];
  }

  /** Shape of a tensor. */
  shape(name: string): readonly number[] {
    return tensorOf(this.graph, name).shape;
  }

  /** The number that a tensor of one element holds. */
  number(name: string): number | undefined {
    const { data, dtype, shape, category } = tensorOf(this.graph, name);
    if (category === "constant" && data && elementCount(shape) === 1) return valuesOf(dtype, data)[0];
    const maker = this.maker(name);
    return isStandard(maker, "Cast") ? this.number(maker.inputs[0] as string) : undefined;
  }

  /** Whether a node gives its input under another float type or with other leading axes, or heads apart that share keys. */
  passes(node: Node): boolean {
    const [from = "", to = ""] = [node.inputs[0], node.outputs[0]];
    if (isStandard(node, "Cast"))
      return isFloat(tensorOf(this.graph, from).dtype) && isFloat(tensorOf(this.graph, to).dtype);
    if (!opOf(node).view) return false;
    const [a, z] = [this.shape(from), this.shape(to)];
    const isSame = a.slice(-2).join() === z.slice(-2).join() && Math.min(a.length, z.length) >= 2;
    return isSame || this.regroups(from, to);
  }

  /** Whether a view makes groups of heads one head with more rows, or the other way round. */
  private regroups(from: string, to: string): boolean {
    const [a, z] = [this.shape(from), this.shape(to)];
    return a.length === 4 && z.length === 4 && a[0] === z[0] && a[3] === z[3];
  }

  /** What [batch, heads, …] repeats for groups of heads: [batch, fewer heads, …]; undefined if it repeats nothing so. */
  private repeated(node: Node): string | undefined {
    const [wide = ""] = node.inputs;
    const expand = opOf(node).view ? this.maker(wide) : undefined;
    const view = isStandard(expand, "Expand") ? this.maker(expand.inputs[0] as string) : undefined;
    if (!expand || !view || !opOf(view).view) return undefined;
    const [source = ""] = view.inputs;
    const [batch, heads, ...rest] = this.shape(source);
    const groups = this.shape(wide)[2] as number;
    const shapes = [this.shape(view.outputs[0] as string), this.shape(wide), this.shape(node.outputs[0] as string)];
    const wanted = [
      [batch, heads, 1, ...rest],
      [batch, heads, groups, ...rest],
      [batch, (heads as number) * groups, ...rest],
    ];
    return rest.length === 2 && shapes.join(" ") === wanted.join(" ") ? source : undefined;
  }

  /** The number by which a node multiplies its other operand, and that operand. */
  factor(node: Node): { readonly by: number; readonly of: string } | undefined {
    const [a = "", z = ""] = node.inputs;
    if (isStandard(node, "Div")) {
      const by = this.number(z);
      return by ? { by: 1 / by, of: a } : undefined;
    }
    if (!isStandard(node, "Mul")) return undefined;
    const [left, right] = [this.number(a), this.number(z)];
    if (right !== undefined) return { by: right, of: a };
    return left === undefined ? undefined : { by: left, of: z };
  }

  /** Where an operand of a product comes from, through transposes, factors, casts and joined axes. */
  operand(given: string, form: "own" | "transposed", factors = true) {
    const found: Operand[] = [];
    let name = given;
    let order = this.shape(given).map((_, axis) => axis);
    let factor = 1;
    /** The operand as it is, behind its factors. */
    let whole = given;
    /** Batch and heads, where they are one axis that a view takes apart. */
    let lead: Operand["lead"] | undefined;
    for (;;) {
      const candidate = this.candidate(name, order, form, lead);
      if (candidate) found.push(candidate);
      const node = this.maker(name);
      const times = node && factors ? this.factor(node) : undefined;
      if (times && this.shape(times.of).join() === this.shape(name).join()) {
        factor *= times.by;
        if (name === whole) whole = times.of;
        name = times.of;
        // what stands before a factor is not the operand itself
        found.length = 0;
        continue;
      }
      const [from = ""] = node?.inputs ?? [];
      const isSame = order.every((axis, i) => axis === i);
      // heads are the second axis where they are repeated
      const source = node && order[1] === 1 ? this.repeated(node) : undefined;
      const isKept = node && (isStandard(node, "Cast") || (isSame && form === "own" && this.regroups(from, name)));
      if (source || (isKept && this.passes(node))) {
        name = source ?? from;
        continue;
      }
      if (isStandard(node, "Transpose")) {
        const perm = node.attributes.perm?.value as readonly number[];
        order = order.map((axis) => perm[axis] as number);
      } else if (node && opOf(node).view && this.joins(from, name) && order[0] === 0)
        order = [0, 1, ...order.slice(1).map((axis) => axis + 1)];
      else if (node && opOf(node).view && this.joins(name, from) && order[0] === 0 && order[1] === 1) {
        order = [0, ...order.slice(2).map((axis) => axis - 1)];
        lead = this.shape(name).slice(0, 2) as [number, number];
      } else return { found, factor, name: whole };
      name = from;
    }
  }

  /** Whether a view makes one axis of the first two of four. */
  private joins(from: string, to: string): boolean {
    const [a, z] = [this.shape(from), this.shape(to)];
    return a.length === 4 && z.length === 3 && a.slice(2).join() === z.slice(1).join();
  }

  private candidate(
    name: string,
    order: readonly number[],
    form: "own" | "transposed",
    lead: Operand["lead"] | undefined,
  ): Operand | undefined {
    const shape = this.shape(name);
    const positionAxis = layouts[form][order.join()];
    if (positionAxis === undefined) return undefined;
    if (shape.length === 4) {
      const [batch = 1, heads = 1] = headsFirst(shape, positionAxis);
      return { name, positionAxis, lead: [batch, heads] };
    }
    return { name, positionAxis, lead: lead ?? (shape.length === 3 ? [shape[order[0] as number] as number, 1] : [1, 1]) };
  }
}
