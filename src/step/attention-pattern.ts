import { consumers, type Graph, type Node } from "../graph/graph.js";
import type { PositionAxis } from "../ops/attention-form.js";
import { leastHidden } from "./attention-mask.js";
import { isStandard, type Operand, Sources } from "./attention-operands.js";

/** A mask of scores of that shape: added to them, or where its elements say so in place of them. */
export type Mask =
  | {
      readonly kind: "added";
      readonly name: string;
      readonly shape: readonly number[];
      /** The bools that it is made of, where it adds one number to all scores that are seen, and hides the others. */
      readonly made?: { readonly of: string; readonly hides: boolean };
    }
  | {
      readonly kind: "chosen";
      readonly name: string;
      readonly shape: readonly number[];
      /** What stands in place of hidden scores, and whether true hides. */
      readonly hidden: number;
      readonly hides: boolean;
    };

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

/** Where a transpose puts the positions of [batch, heads, positions, width], by its order, and of batch and heads as one. */
const apartAxes: Readonly<Record<string, PositionAxis>> = { "0,2,1,3": 1, "2,0,1,3": 0 };
const joinedAxes: Readonly<Record<string, PositionAxis>> = { "1,0,2": 0 };

/** Finds softmax(scale·Q·Kᵀ + mask)·V in a forward graph, as exporters and mutwo itself write it. */
export class Finder {
  private readonly sources: Sources;
  private readonly read: ReadonlyMap<string, readonly number[]>;
  private readonly kept: ReadonlySet<string>;

  /** `trained`: tensors that depend on what is trained; such a mask has a gradient, and there is no match. */
  constructor(
    private readonly graph: Graph,
    private readonly trained: ReadonlySet<string>,
  ) {
    this.sources = new Sources(graph);
    this.read = consumers(graph);
    this.kept = new Set([...graph.outputs, ...graph.state.map(({ after }) => after)]);
  }

  /** The attention whose softmax a node is; undefined if it is none that can be written as one node. */
  find(softmax: Node): Pattern | undefined {
    const [name = ""] = softmax.inputs;
    const { length: rank } = this.sources.shape(name);
    const axis = softmax.attributes.axis?.value ?? -1;
    if (!isStandard(softmax, "Softmax") || (axis !== -1 && axis !== rank - 1)) return undefined;
    const shares = this.sharesUsed(softmax.outputs[0] as string);
    const scores = shares && this.scoresOf(name);
    if (!shares || !scores) return undefined;
    const { product, masks } = scores;
    const [left = "", right = ""] = product.inputs;
    const [queries = 0, keys = 0] = this.sources.shape(name).slice(-2);
    const q = this.sources.operand(left, "own");
    const k = this.sources.operand(right, "transposed");
    const v = this.sources.operand(shares.product.inputs[1] as string, "own", false);
    const scale = scores.scale * q.factor * k.factor;
    // masks of heads apart, or of batches and heads as one axis
    const whole = this.sources.shape(name);
    const isMask = ({ shape }: Mask): boolean =>
      shape.length < 4 ? shape.slice(-2).join() === whole.slice(-2).join() : shape.join() === whole.join();
    const isPlain = whole.length < 4 && masks.every(({ shape }) => shape.length <= 4 && shape.at(-2) === queries);
    if (!(scale > 0) || whole.length > 4 || !(isPlain || masks.every(isMask))) return undefined;
    return {
      q: q.found,
      k: k.found,
      v: v.found,
      transposedK: k.name,
      scale,
      masks,
      zeroHidden: shares.zeroHidden,
      lead: apart(this.sources.shape(name)) ?? scores.lead ?? shares.lead,
      queries,
      keys,
      y: shares.product.outputs[0] as string,
    };
  }

  /** What the product of an attention is read as: itself, or with positions at another place. */
  result(
    { y, queries }: Pick<Pattern, "y" | "queries">,
    [batch, heads]: readonly [number, number],
  ): { readonly name: string; readonly positionAxis: PositionAxis; readonly skipped: string[] } {
    const skipped: string[] = [];
    let name = y;
    const width = this.sources.shape(y).at(-1);
    const [whole, joined] = [[batch, heads, queries, width].join(), [batch * heads, queries, width].join()];
    for (let next = this.onlyReader(name); next; next = this.onlyReader(name)) {
      const output = next.outputs[0] as string;
      const isApart = isStandard(next, "Reshape") && this.sources.shape(output).join() === whole;
      if (isStandard(next, "Transpose")) {
        const perm = String(next.attributes.perm?.value);
        const from = this.sources.shape(name).join();
        const positionAxis = from === whole ? apartAxes[perm] : from === joined ? joinedAxes[perm] : undefined;
        if (positionAxis === undefined) break;
        return { name: output, positionAxis, skipped: [...skipped, next.name] };
      }
      if (!isApart) break;
      skipped.push(next.name);
      name = output;
    }
    return { name: y, positionAxis: 2, skipped: [] };
  }

  /** The node that alone reads a tensor; undefined if others do, or the step keeps it. */
  private onlyReader(name: string): Node | undefined {
    const readers = this.read.get(name) ?? [];
    return readers.length === 1 && !this.kept.has(name) ? this.graph.nodes[readers[0] as number] : undefined;
  }

  /** The product that reads the shares, if nothing else does. */
  private sharesUsed(name: string): { product: Node; zeroHidden: boolean; lead: Scores["lead"] } | undefined {
    const next = this.onlyReader(name);
    if (next && isStandard(next, "MatMul"))
      return next.inputs[0] === name && next.inputs[1] !== name
        ? { product: next, zeroHidden: false, lead: apart(this.sources.shape(name)) }
        : undefined;
    if (next && this.sources.passes(next)) {
      const onward = this.sharesUsed(next.outputs[0] as string);
      return onward && { ...onward, lead: apart(this.sources.shape(name)) ?? onward.lead };
    }
    // 0 in place of NaN, for rows that see no key
    const readers = (this.read.get(name) ?? []).map((rank) => this.graph.nodes[rank] as Node);
    const asks = readers.find((node) => isStandard(node, "IsNaN"));
    const picks = readers.find((node) => isStandard(node, "Where"));
    if (!asks || !picks || readers.length !== 2 || this.kept.has(name)) return undefined;
    const [condition, zero = "", otherwise] = picks.inputs;
    if (condition !== asks.outputs[0] || otherwise !== name || this.sources.number(zero) !== 0) return undefined;
    if (this.onlyReader(condition as string) !== picks) return undefined;
    const onward = this.sharesUsed(picks.outputs[0] as string);
    return onward && { ...onward, zeroHidden: true };
  }

  /** Where scores come from: a product that nothing else reads, then factors and masks. */
  private scoresOf(name: string): Scores | undefined {
    const node = this.sources.maker(name);
    if (!node || !this.onlyReader(name)) return undefined;
    const shape = this.sources.shape(name);
    if (isStandard(node, "MatMul")) return { product: node, scale: 1, masks: [], lead: apart(shape) };
    const factor = this.sources.factor(node);
    if (factor) {
      const before = this.scoresOf(factor.of);
      return before && !before.masks.length ? { ...before, scale: before.scale * factor.by } : undefined;
    }
    if (this.sources.passes(node)) {
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
      if (this.sources.shape(scores).join() !== shape.join() || this.trained.has(name)) continue;
      const before = this.scoresOf(scores);
      if (!before) continue;
      const made = this.madeOf(name);
      return { ...before, masks: [...before.masks, { kind: "added", name, shape, ...(made && { made }) }] };
    }
    return undefined;
  }

  /** The bools behind a mask that is one number, whichever, where scores are seen, and a low one where they are hidden. */
  private madeOf(name: string): { readonly of: string; readonly hides: boolean } | undefined {
    const node = this.sources.maker(name);
    if (node && this.sources.passes(node)) return this.madeOf(node.inputs[0] as string);
    if (!isStandard(node, "Where")) return undefined;
    const [of = "", ...sides] = node.inputs as [string, string, string];
    const isHidden = sides.map((side) => (this.sources.number(side) ?? 0) <= leastHidden);
    const isOne = sides.map((side) => this.sources.shape(side).every((n) => n === 1));
    const hides = isHidden.indexOf(true) === 0;
    return isHidden[0] !== isHidden[1] && isOne.every(Boolean) ? { of, hides } : undefined;
  }

  /** Scores in whose place a number stands where they are hidden. */
  private chosen(node: Node, shape: readonly number[]): Scores | undefined {
    if (!isStandard(node, "Where")) return undefined;
    const [name = "", ...sides] = node.inputs as [string, string, string];
    for (const side of [0, 1]) {
      const [scores, other] = [sides[side], sides[1 - side]] as [string, string];
      const hidden = this.sources.number(other);
      if (hidden === undefined || hidden > leastHidden || this.sources.shape(scores).join() !== shape.join()) continue;
      const before = this.scoresOf(scores);
      if (before)
        return { ...before, masks: [...before.masks, { kind: "chosen", name, shape, hidden, hides: side === 1 }] };
    }
    return undefined;
  }
}
