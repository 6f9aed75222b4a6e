import { consumers, elementCount, type Graph, isFloat, type Node, producers, tensorOf } from "../graph/graph.js";
import { valuesOf } from "../graph/values.js";
import { opOf } from "../ops/index.js";
import { leastHidden } from "./attention-mask.js";

/** A mask of scores of that shape: added to them, or where its elements say so in place of them. */
export type Mask =
  | { readonly kind: "added"; readonly name: string; readonly shape: readonly number[] }
  | {
      readonly kind: "chosen";
      readonly name: string;
      readonly shape: readonly number[];
      /** What stands in place of hidden scores, and whether true hides. */
      readonly hidden: number;
      readonly hides: boolean;
    };

/** A tensor that an operand can be read from, in any float type: [batch, heads, positions, width], or positions before heads. */
export interface Operand {
  readonly name: string;
  readonly positionsFirst: boolean;
  /** Batch and heads; batch·heads and 1 of a tensor of rank 3. */
  readonly lead: readonly [number, number];
}

/** An attention that was found: its parts by name. */
export interface Pattern {
  /** Where each operand may be read from, the nearest first; none of `k` if it lies transposed. */
  readonly q: readonly Operand[];
  readonly k: readonly Operand[];
  readonly v: readonly Operand[];
  /** Kᵀ as the product reads it. */
  readonly transposedK: string;
  readonly scale: number;
  readonly masks: readonly Mask[];
  readonly zeroHidden: boolean;
  /** Batch and heads of the scores, where they stand apart. */
  readonly lead: readonly [number, number] | undefined;
  readonly queries: number;
  readonly keys: number;
  /** Name of the product of shares and V. */
  readonly y: string;
}

/** Scores before the softmax: where they come from, and what happened to them since. */
interface Scores {
  readonly product: Node;
  readonly scale: number;
  readonly masks: readonly Mask[];
  readonly lead: readonly [number, number] | undefined;
}

const apart = (shape: readonly number[]): readonly [number, number] | undefined =>
  shape.length === 4 ? (shape.slice(0, 2) as [number, number]) : undefined;

const isStandard = (node: Node | undefined, op: string): node is Node & { readonly domain: "" } =>
  node?.domain === "" && node.op === op;

/** Finds softmax(scale·Q·Kᵀ + mask)·V in a forward graph, as exporters and mutwo itself write it. */
export class Finder {
  private readonly made: ReadonlyMap<string, number>;
  private readonly read: ReadonlyMap<string, readonly number[]>;
  private readonly kept: ReadonlySet<string>;

  /** `trained`: tensors that depend on what is trained; such a mask has a gradient, and there is no match. */
  constructor(
    private readonly graph: Graph,
    private readonly trained: ReadonlySet<string>,
  ) {
    this.made = producers(graph);
    this.read = consumers(graph);
    this.kept = new Set([...graph.outputs, ...graph.state.map(({ after }) => after)]);
  }

  /** The attention whose softmax a node is; undefined if it is none that can be written as one node. */
  find(softmax: Node): Pattern | undefined {
    const [name = ""] = softmax.inputs;
    const { length: rank } = this.shape(name);
    const axis = softmax.attributes.axis?.value ?? -1;
    if (!isStandard(softmax, "Softmax") || (axis !== -1 && axis !== rank - 1)) return undefined;
    const shares = this.sharesUsed(softmax.outputs[0] as string);
    const scores = shares && this.scoresOf(name);
    if (!shares || !scores) return undefined;
    const { product, masks } = scores;
    const [left = "", right = ""] = product.inputs;
    const [queries = 0, keys = 0] = this.shape(name).slice(-2);
    const q = this.operand(left, "own");
    const k = this.operand(right, "transposed");
    const v = this.operand(shares.product.inputs[1] as string, "own", false);
    const scale = scores.scale * q.factor * k.factor;
    if (!(scale > 0)) return undefined;
    return {
      q: q.found,
      k: k.found,
      v: v.found,
      transposedK: k.name,
      scale,
      masks,
      zeroHidden: shares.zeroHidden,
      lead: apart(this.shape(name)) ?? scores.lead ?? shares.lead,
      queries,
      keys,
      y: shares.product.outputs[0] as string,
    };
  }

  /** What the product of an attention is read as: itself, or with heads and positions exchanged. */
  result(
    { y, queries }: Pick<Pattern, "y" | "queries">,
    [batch, heads]: readonly [number, number],
  ): { readonly name: string; readonly skipped: string[] } {
    const skipped: string[] = [];
    let name = y;
    const whole = [batch, heads, queries, this.shape(y).at(-1)].join();
    for (let next = this.onlyReader(name); next; next = this.onlyReader(name)) {
      const output = next.outputs[0] as string;
      const isApart = isStandard(next, "Reshape") && this.shape(output).join() === whole;
      if (isStandard(next, "Transpose") && String(next.attributes.perm?.value) === "0,2,1,3") {
        return this.shape(name).join() === whole ? { name: output, skipped: [...skipped, next.name] } : { name: y, skipped: [] };
      }
      if (!isApart) break;
      skipped.push(next.name);
      name = output;
    }
    return { name: y, skipped: [] };
  }

  private maker(name: string): Node | undefined {
    const rank = this.made.get(name);
    return rank === undefined ? undefined : this.graph.nodes[rank];
  }

  private shape(name: string): readonly number[] {
    return tensorOf(this.graph, name).shape;
  }

  /** The node that alone reads a tensor; undefined if others do, or the step keeps it. */
  private onlyReader(name: string): Node | undefined {
    const readers = this.read.get(name) ?? [];
    return readers.length === 1 && !this.kept.has(name) ? this.graph.nodes[readers[0] as number] : undefined;
  }

  /** The number that a tensor of one element holds. */
  private number(name: string): number | undefined {
    const { data, dtype, shape, category } = tensorOf(this.graph, name);
    if (category === "constant" && data && elementCount(shape) === 1) return valuesOf(dtype, data)[0];
    const maker = this.maker(name);
    return isStandard(maker, "Cast") ? this.number(maker.inputs[0] as string) : undefined;
  }

  /** Whether a node gives its input under another float type or with other leading axes, or heads apart that share keys. */
  private passes(node: Node): boolean {
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
  private factor(node: Node): { readonly by: number; readonly of: string } | undefined {
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

  /** The product that reads the shares, if nothing else does. */
  private sharesUsed(name: string): { product: Node; zeroHidden: boolean; lead: Scores["lead"] } | undefined {
    const next = this.onlyReader(name);
    if (next && isStandard(next, "MatMul"))
      return next.inputs[0] === name && next.inputs[1] !== name
        ? { product: next, zeroHidden: false, lead: apart(this.shape(name)) }
        : undefined;
    if (next && this.passes(next)) {
      const onward = this.sharesUsed(next.outputs[0] as string);
      return onward && { ...onward, lead: apart(this.shape(name)) ?? onward.lead };
    }
    // 0 in place of NaN, for rows that see no key
    const readers = (this.read.get(name) ?? []).map((rank) => this.graph.nodes[rank] as Node);
    const asks = readers.find((node) => isStandard(node, "IsNaN"));
    const picks = readers.find((node) => isStandard(node, "Where"));
    if (!asks || !picks || readers.length !== 2 || this.kept.has(name)) return undefined;
    const [condition, zero = "", otherwise] = picks.inputs;
    if (condition !== asks.outputs[0] || otherwise !== name || this.number(zero) !== 0) return undefined;
    if (this.onlyReader(condition as string) !== picks) return undefined;
    const onward = this.sharesUsed(picks.outputs[0] as string);
    return onward && { ...onward, zeroHidden: true };
  }

  /** Where scores come from: a product that nothing else reads, then factors and masks. */
  private scoresOf(name: string): Scores | undefined {
    const node = this.maker(name);
    if (!node || !this.onlyReader(name)) return undefined;
    const shape = this.shape(name);
    if (isStandard(node, "MatMul")) return { product: node, scale: 1, masks: [], lead: apart(shape) };
    const factor = this.factor(node);
    if (factor) {
      const before = this.scoresOf(factor.of);
      return before && !before.masks.length ? { ...before, scale: before.scale * factor.by } : undefined;
    }
    if (this.passes(node)) {
      const before = this.scoresOf(node.inputs[0] as string);
      return before && { ...before, lead: before.lead ?? apart(shape) };
    }
    return this.added(node, shape) ?? this.chosen(node, shape);
  }

  /** Scores to which a mask is added. */
  private added(node: Node, shape: readonly number[]): Scores | undefined {
    if (!isStandard(node, "Add")) return undefined;
    for (const side of [0, 1]) {
      const [scores, name] = [node.inputs[side], node.inputs[1 - side]] as [string, string];
      if (this.shape(scores).join() !== shape.join() || this.trained.has(name)) continue;
      const before = this.scoresOf(scores);
      if (before) return { ...before, masks: [...before.masks, { kind: "added", name, shape }] };
    }
    return undefined;
  }

  /** Scores in whose place a number stands where they are hidden. */
  private chosen(node: Node, shape: readonly number[]): Scores | undefined {
    if (!isStandard(node, "Where")) return undefined;
    const [name = "", ...sides] = node.inputs as [string, string, string];
    for (const side of [0, 1]) {
      const [scores, other] = [sides[side], sides[1 - side]] as [string, string];
      const hidden = this.number(other);
      if (hidden === undefined || hidden > leastHidden || this.shape(scores).join() !== shape.join()) continue;
      const before = this.scoresOf(scores);
      if (before)
        return { ...before, masks: [...before.masks, { kind: "chosen", name, shape, hidden, hides: side === 1 }] };
    }
    return undefined;
  }

  /** Where an operand of a product comes from, through transposes, factors, casts and joined axes. */
  private operand(given: string, form: "own" | "transposed", factors = true) {
    const found: Operand[] = [];
    let name = given;
    let order = this.shape(given).map((_, axis) => axis);
    let factor = 1;
    /** The operand as it is, behind its factors. */
    let whole = given;
    for (;;) {
      const candidate = this.candidate(name, order, form);
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
      else return { found, factor, name: whole };
      name = from;
    }
  }

  /** Whether a view makes one axis of the first two of four. */
  private joins(from: string, to: string): boolean {
    const [a, z] = [this.shape(from), this.shape(to)];
    return a.length === 4 && z.length === 3 && a.slice(2).join() === z.slice(1).join();
  }

  private candidate(name: string, order: readonly number[], form: "own" | "transposed"): Operand | undefined {
    const shape = this.shape(name);
    const forms: Readonly<Record<string, boolean>> =
      form === "own"
        ? { "0,1": false, "0,1,2": false, "0,1,2,3": false, "0,2,1,3": true }
        : { "1,0": false, "0,2,1": false, "0,1,3,2": false, "0,2,3,1": true };
    const positionsFirst = forms[order.join()];
    if (positionsFirst === undefined) return undefined;
    const [batch = 1, heads = 1] = shape.length === 4 ? [shape[0], shape[positionsFirst ? 2 : 1]] : [];
    return { name, positionsFirst, lead: shape.length === 3 ? [shape[0] as number, 1] : [batch, heads] };
  }
}
