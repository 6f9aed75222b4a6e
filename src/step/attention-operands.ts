import { elementCount, type Graph, isFloat, type Node, producers, tensorOf } from "../graph/graph.js";
import { valuesOf } from "../graph/values.js";
import type { View } from "../ops/attention-form.js";
import { callOf } from "../ops/call.js";
import { opOf } from "../ops/index.js";
import { denseDimensions, denseStrides, moved, regrouped, type Strided } from "./strided.js";

/** What a dimension of an operand is: batch and heads, positions, or the width of a head. */
type Role = "lead" | "position" | "width";

/** A tensor of any float type that an operand can be read from, and where in it its elements are. */
export interface Operand extends Strided<Role> {
  readonly name: string;
}

/** Whether a node is that op of ONNX's. */
export const isStandard = (node: Node | undefined, op: string): node is Node & { readonly domain: "" } =>
  node?.domain === "" && node.op === op;

/** A tensor as an operand: its last axes are positions and width, or the other way round. */
export function asOperand(name: string, shape: readonly number[], form: "own" | "transposed"): Operand {
  const roles: readonly Role[] = form === "own" ? ["position", "width"] : ["width", "position"];
  const roleOf = (axis: number): Role => roles[axis - shape.length + 2] ?? "lead";
  const dimensions = denseDimensions(shape).map((one, axis) => ({ ...one, role: roleOf(axis) }));
  return { name, offset: 0, dimensions };
}

/** Batch and heads of an operand, as many as it has: batch·heads and 1 where nothing tells them apart. */
export function leadOf({ dimensions }: Operand): readonly [number, number] {
  const [batch = 1, ...others] = dimensions.filter(({ role }) => role === "lead").map(({ size }) => size);
  return [batch, others.reduce((product, size) => product * size, 1)];
}

/** An operand as [batch, heads, positions, width] of those sizes; undefined if it cannot be read so. */
export function viewOf(
  { offset, dimensions }: Operand,
  [batch, heads]: readonly [number, number],
  positions: number,
  width: number,
): View | undefined {
  const rows = regrouped(
    dimensions.filter(({ role }) => role !== "width"),
    [batch, heads, positions],
  );
  const columns = regrouped(
    dimensions.filter(({ role }) => role === "width"),
    [width],
  );
  if (!rows || !columns || (columns[0] as number) > 1) return undefined;
  return { offset, strides: rows as unknown as View["strides"] };
}

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
    if (!this.isReshape(node)) return false;
    const [a, z] = [this.shape(from), this.shape(to)];
    const isSame = a.slice(-2).join() === z.slice(-2).join() && Math.min(a.length, z.length) >= 2;
    return isSame || (a.length === 4 && z.length === 4 && a[0] === z[0] && a[3] === z[3]);
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

  /**
   * Where an operand of a product comes from, the nearest first: through whatever moves elements, factors and casts.
   * `form`: its last axes are positions and width, or the other way round.
   */
  operand(given: string, form: "own" | "transposed", factors = true) {
    const found: Operand[] = [];
    let at = asOperand(given, this.shape(given), form);
    let factor = 1;
    /** The operand as it is, behind its factors. */
    let whole = given;
    for (;;) {
      found.push(at);
      const node = this.maker(at.name);
      const times = node && factors ? this.factor(node) : undefined;
      if (times && this.shape(times.of).join() === this.shape(at.name).join()) {
        factor *= times.by;
        if (at.name === whole) whole = times.of;
        at = { ...at, name: times.of };
        // what stands before a factor is not the operand itself
        found.length = 0;
        continue;
      }
      const before = node && this.before(node, at);
      if (!before) return { found, factor, name: whole };
      at = before;
    }
  }

  /** Where the elements of a node's output are in what it is made of; undefined if it computes with them. */
  private before(node: Node, at: Operand): Operand | undefined {
    const [from = ""] = node.inputs;
    if (isStandard(node, "Cast")) return this.passes(node) ? { ...at, name: from } : undefined;
    const shared = this.repeated(node, at);
    if (shared) return shared;
    if (this.isReshape(node)) return { ...at, name: from };
    const shape = this.shape(at.name);
    const within = (next: Strided<Role> | undefined): Operand | undefined => next && { ...next, name: from };
    if (isStandard(node, "Transpose")) {
      const own = denseStrides(this.shape(from));
      const perm =
        (node.attributes.perm?.value as readonly number[]) ?? shape.map((_, axis) => shape.length - 1 - axis);
      return within(
        moved(
          at,
          shape,
          perm.map((axis) => own[axis] as number),
        ),
      );
    }
    const cuts = opOf(node).takes?.(callOf(node, this.graph.tensors))?.[node.outputs.indexOf(at.name)];
    if (!cuts || cuts.some(({ step }) => step !== 1)) return undefined;
    const [source, strides] = [this.shape(from), denseStrides(this.shape(from))];
    const counts = source.map((size, axis) => cuts.find((cut) => cut.axis === axis)?.count ?? size);
    const start = cuts.reduce((sum, cut) => sum + cut.start * (strides[cut.axis] as number), 0);
    const next = moved(at, counts, strides);
    return within(next && { ...next, offset: next.offset + start });
  }

  /** Whether a node shows all of its input under another shape. */
  private isReshape(node: Node): boolean {
    const { view, viewStart } = opOf(node);
    return view && !viewStart;
  }

  /** What [batch, heads, …] repeats for groups of heads: [batch, fewer heads, …]; undefined if it repeats nothing so. */
  private repeated(node: Node, { name, offset, dimensions }: Operand): Operand | undefined {
    const [wide = ""] = node.inputs;
    const expand = this.isReshape(node) ? this.maker(wide) : undefined;
    const view = isStandard(expand, "Expand") ? this.maker(expand.inputs[0] as string) : undefined;
    if (!expand || !view || !this.isReshape(view)) return undefined;
    const [source = ""] = view.inputs;
    const [batch = 0, heads = 0, ...rest] = this.shape(source);
    const groups = this.shape(wide)[2] as number;
    const shapes = [this.shape(view.outputs[0] as string), this.shape(wide), this.shape(name)];
    const wanted = [
      [batch, heads, 1, ...rest],
      [batch, heads, groups, ...rest],
      [batch, heads * groups, ...rest],
    ];
    if (rest.length !== 2 || shapes.join(" ") !== wanted.join(" ") || offset !== 0) return undefined;
    // batch and heads are the first axes of what is repeated
    const each = elementCount(rest);
    const lead = regrouped(
      dimensions.filter(({ role }) => role === "lead"),
      [batch, heads * groups],
    );
    const fits = [heads * groups * each, each].every((stride, i) => [0, stride].includes(lead?.[i] ?? -1));
    if (!fits) return undefined;
    const first = [
      { size: batch, stride: heads * each },
      { size: heads, stride: each },
    ].map((one) => ({ ...one, role: "lead" as const }));
    return { name: source, offset, dimensions: [...first, ...dimensions.filter(({ role }) => role !== "lead")] };
  }
}
