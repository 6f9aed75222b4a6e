import { elementCount } from "../graph/graph.js";
import type { View } from "../ops/attention-form.js";
import type { Dimension } from "./strided.js";

/** Pieces of a tensor that are worth counting one by one: operands of one product are a few of each position. */
const mostPieces = 2 ** 16;

/** An operand as [batch, heads, positions, width] of those sizes in a tensor of so many elements. */
export interface Lying {
  readonly name: string;
  readonly view: View;
  readonly sizes: readonly number[];
  readonly count: number;
  /** Whether it is chosen together with others of that tensor. */
  readonly isPart?: boolean;
}

/**
 * Which tensors Q, K and V are read from: the farthest, since nothing is moved before it. Those that lie in one together
 * with others must fill it, and each place once: what the others get is its whole gradient.
 */
export function chosen(
  candidates: readonly [readonly Lying[], readonly Lying[], readonly Lying[]],
): Lying[] | undefined {
  for (const members of [[0, 1, 2], [1, 2], [0, 2], [0, 1], []]) {
    const [first] = members;
    const bases = first === undefined ? [undefined] : [...(candidates[first] as readonly Lying[])].reverse();
    for (const base of bases) {
      const found = candidates.map((all, i) =>
        all.findLast((one) => (members.includes(i) ? one.name === base?.name : elementCount(one.sizes) === one.count)),
      );
      if (!found.every((one) => one !== undefined)) continue;
      if (!members.length || fill(members.map((i) => found[i] as Lying)))
        return found.map((one, i) => ({ ...one, isPart: members.includes(i) }));
    }
  }
  return undefined;
}

/** The dimensions of a view of more than one place: a run that lies side by side, and the others, outermost first. */
function runOf({ sizes, view }: Lying): { readonly run: number; readonly outer: readonly Dimension[] } {
  const all = [...view.strides, 1].map((stride, i) => ({ stride, size: sizes[i] as number }));
  const dimensions = all.filter(({ size }) => size > 1).sort((a, z) => a.stride - z.stride);
  let run = 1;
  let inner = 0;
  for (; dimensions[inner]?.stride === run; inner++) run *= (dimensions[inner] as Dimension).size;
  return { run, outer: dimensions.slice(inner).reverse() };
}

const divisor = (a: number, b: number): number => (b === 0 ? a : divisor(b, a % b));

/** Whether views of one tensor together hold each of its elements once, as far as few pieces tell. */
function fill(views: readonly Lying[]): boolean {
  const [{ count = 0 } = {}] = views;
  if (views.reduce((sum, { sizes }) => sum + elementCount(sizes), 0) !== count) return false;
  const runs = views.map((one) => ({ offset: one.view.offset, ...runOf(one) }));
  // what all of them take in the same steps through the whole is looked at once
  let block = count;
  let peeled = 0;
  for (;;) {
    const steps = runs.map(({ outer }) => outer[peeled]);
    const [first] = steps;
    const isSame = steps.every((step) => step?.stride === first?.stride && step?.size === first?.size);
    if (!first || !isSame || first.stride * first.size !== block) break;
    block = first.stride;
    peeled++;
  }
  const numbers = runs.flatMap(({ offset, run, outer }) => [
    offset,
    run,
    ...outer.slice(peeled).map((one) => one.stride),
  ]);
  const piece = numbers.reduce(divisor, block);
  if (block / piece > mostPieces) return false;
  const seen = new Set<number>();
  for (const { offset, run, outer } of runs) {
    const steps = [...outer.slice(peeled), { size: run / piece, stride: piece }];
    const places = steps.reduce<number[]>(
      (all, { stride, size }) => all.flatMap((at) => Array.from({ length: size }, (_, n) => at + n * stride)),
      [offset],
    );
    for (const at of places) if (at < block) seen.add(at);
  }
  return seen.size === block / piece;
}
