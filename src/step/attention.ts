import { Builder } from "../build/build.js";
import { elementCount, type Graph, ints, type Node, prune, tensorOf } from "../graph/graph.js";
import { type AttentionForm, attentionAttributes } from "../ops/attention-form.js";
import { math } from "../ops/math.js";
import { cast, reshape } from "../ops/shapes.js";
import { type Seen, seenThrough } from "./attention-mask.js";
import { asOperand, leadOf, type Operand, viewOf } from "./attention-operands.js";
import { Finder, type Mask, type Pattern } from "./attention-pattern.js";
import { chosen, type Lying } from "./attention-places.js";
import { dependents } from "./gradient.js";

/** Hidden scores down from here are hidden for good: what a score adds to them is lost in rounding, or ends beside it. */
const surelyHidden = -6e4;

type HasKernel = (node: Node, graph: Pick<Graph, "tensors">) => boolean;

/**
 * A forward graph with each softmax(scale·Q·Kᵀ + mask)·V as one node, if the runtime has a kernel for it: the scores are
 * then never in memory, and the backward phase makes them again. Left as they are: attentions whose mask depends on
 * `trained` parameters, with dropout inside, or of which something else reads scores or shares.
 */
export function fuseAttention(graph: Graph, trained: ReadonlySet<string>, hasKernel: HasKernel): Graph {
  const finder = new Finder(graph, dependents(graph.nodes, trained));
  const found = new Map<string, Pattern>();
  for (const node of graph.nodes) {
    const pattern = node.op === "Softmax" ? finder.find(node) : undefined;
    if (pattern) found.set(pattern.y, pattern);
  }
  if (!found.size) return graph;
  const b = new Builder(graph, false);
  const writer = new Writer(b, graph, finder, hasKernel);
  const replaced = new Set<string>();
  for (const node of graph.nodes) {
    const pattern = found.get(node.outputs[0] ?? "");
    for (const name of (pattern && writer.write(node, pattern)) ?? []) replaced.add(name);
    if (!replaced.has(node.name)) b.append(node);
  }
  return replaced.size ? prune({ ...graph, nodes: b.nodes, tensors: b.tensors }) : graph;
}

/** Writes attentions that were found as single nodes. */
class Writer {
  /** Masks that were added up, by their parts. */
  private readonly sums = new Map<string, string>();

  constructor(
    private readonly b: Builder,
    private readonly graph: Graph,
    private readonly finder: Finder,
    private readonly hasKernel: HasKernel,
  ) {}

  /** Writes an attention in place of its last product; gives the names of the nodes that it stands for from there on. */
  write(product: Node, pattern: Pattern): readonly string[] | undefined {
    const { b, graph } = this;
    const all = elementCount(tensorOf(graph, pattern.y).shape.slice(0, -1)) / pattern.queries;
    const own = pattern.q.map(leadOf).findLast(([batch, heads]) => batch * heads === all);
    const lead = pattern.lead ?? own ?? [all, 1];
    const seen = seenBy(graph, pattern);
    if (!seen || lead[0] * lead[1] !== all) return undefined;
    const { name, positionAxis, skipped } = this.finder.result(pattern, lead);
    const scope = { phase: product.phase, category: "activation", scope: product.name } as const;
    const parts = seen.masks.map((mask) => JSON.stringify([mask, lead])).join();
    const { result, nodes } = b.apart(scope, () => {
      const operands = this.operands(pattern, lead);
      if (!operands) return undefined;
      const mask = seen.masks.length ? (this.sums.get(parts) ?? this.sum(seen.masks, lead)) : undefined;
      const attributes = attentionAttributes({
        scale: pattern.scale,
        ahead: seen.ahead,
        zeroHidden: pattern.zeroHidden,
        sizes: operands.sizes,
        views: operands.views,
        positionAxis,
      });
      const inputs = [...operands.names, ...(mask ? [mask] : [])];
      const options = { domain: "mutwo", name: product.name, count: 2 };
      const [y] = b.add("Attention", inputs, attributes, options) as [string];
      return { y: reshape(b, y, tensorOf(graph, name).shape), mask };
    });
    const fused = nodes.find(({ domain }) => domain === "mutwo");
    if (!result || !fused || !this.hasKernel(fused, b)) return undefined;
    for (const node of nodes) b.append(node);
    if (result.mask) this.sums.set(parts, result.mask);
    b.rename(result.y, name);
    b.redeclare(tensorOf(graph, name));
    return [product.name, ...skipped];
  }

  /** Where Q, K and V lie, in tensors of the attention's type; undefined if they do not fit each other. */
  private operands(pattern: Pattern, lead: Lead) {
    const { b, graph } = this;
    const { queries, keys, transposedK, y } = pattern;
    const { dtype, shape } = tensorOf(graph, y);
    const width = shape.at(-1) as number;
    const lying = (candidates: readonly Operand[], over: Lead, rows: number): readonly Lying[] =>
      candidates.flatMap((one) => {
        const view = viewOf(one, over, rows, width);
        const count = elementCount(b.type(one.name).shape);
        return view ? [{ name: one.name, view, sizes: [...over, rows, width], count }] : [];
      });
    // fewer heads of keys and values, if both have as many
    const shared = pattern.k
      .map(leadOf)
      .findLast(
        (own) =>
          own[0] === lead[0] &&
          lead[1] % own[1] === 0 &&
          [pattern.k, pattern.v].every((all) => lying(all, own, keys).length),
      );
    const keyLead = shared ?? lead;
    const turn = (): Operand[] => {
      const axes = b.type(transposedK).shape.map((_, axis) => axis);
      const perm = ints([...axes.slice(0, -2), axes.length - 1, axes.length - 2]);
      const name = b.op("Transpose", [cast(b, transposedK, dtype)], { perm });
      return [asOperand(name, b.type(name).shape, "own")];
    };
    const k = lying(pattern.k, keyLead, keys);
    const found = chosen([
      lying(pattern.q, lead, queries),
      k.length ? k : lying(turn(), keyLead, keys),
      lying(pattern.v, keyLead, keys),
    ]);
    if (!found) return undefined;
    const [batch, heads] = lead;
    const named = new Map<string, string>();
    const names = found.map(({ name, isPart }) => {
      const known = named.get(name);
      if (known !== undefined && isPart) return known;
      // what is read as a whole a second time has a gradient of its own
      const read = cast(b, known === undefined ? name : b.op("Identity", [name]), dtype);
      named.set(name, read);
      return read;
    });
    return {
      names,
      views: found.map(({ view }) => view) as unknown as AttentionForm["views"],
      sizes: { batch, heads, kvHeads: keyLead[1], queries, keys, width },
    };
  }

  /** Masks as one tensor of rank 4 that is added to the scores. */
  private sum(masks: readonly Mask[], lead: Lead): string {
    const { b } = this;
    const m = math(b);
    return masks
      .map((mask) => {
        const { shape } = b.type(mask.name);
        const ones = new Array<number>(Math.max(0, mask.shape.length - shape.length)).fill(1);
        const full = [...ones, ...shape];
        const first = full.length === 3 ? (full[0] === 1 ? [1, 1] : [...lead]) : full.length < 3 ? [1, 1] : [];
        const name = reshape(b, mask.name, [...first, ...full.slice(full.length === 3 ? 1 : 0)]);
        if (mask.kind === "added") return b.type(name).dtype === "float64" ? name : cast(b, name, "float32");
        const hidden = Math.max(mask.hidden, -3.4028234663852886e38);
        const [low, zero] = [mask.hidden === Number.NEGATIVE_INFINITY ? mask.hidden : hidden, 0].map((value) =>
          b.constant("float32", [], value),
        ) as [string, string];
        return mask.hides ? m.where(name, low, zero) : m.where(name, zero, low);
      })
      .reduce((a, z) => m.add(a, z));
  }
}

type Lead = readonly [number, number];

/** What masks let be seen: a triangle that their values prove, or masks that are added up; undefined if neither fits. */
function seenBy(graph: Graph, { masks, queries, keys }: Pattern) {
  const renewed = new Set(graph.state.map(({ before }) => before));
  const through = (name: string, hides: boolean): Seen | undefined => {
    const { category } = tensorOf(graph, name);
    const isFixed = category === "constant" || (category === "buffer" && !renewed.has(name));
    return isFixed ? seenThrough(tensorOf(graph, name), queries, keys, hides) : undefined;
  };
  const read = masks.map((mask) => {
    if (mask.kind === "chosen") return { mask, seen: through(mask.name, mask.hides) };
    // the same number added to all that is seen changes no share
    const seen = mask.made && through(mask.made.of, mask.made.hides);
    return { mask, seen: seen ?? through(mask.name, false) };
  });
  const some = read.filter(({ seen }) => seen === undefined || seen.ahead !== undefined);
  if (some.every(({ seen }) => seen))
    return {
      masks: [],
      ahead: some.length ? Math.min(...some.map(({ seen }) => seen?.ahead as number)) : undefined,
    };
  // a row that sees nothing is the mean of what is hidden: that needs numbers so low that scores are lost in them
  const isSure = ({ mask }: { mask: Mask }): boolean => mask.kind === "added" || mask.hidden <= surelyHidden;
  return some.every(isSure) ? { masks: some.map(({ mask }) => mask), ahead: undefined } : undefined;
}
