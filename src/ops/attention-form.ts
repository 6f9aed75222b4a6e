import { elementCount, float, int, ints } from "../graph/graph.js";
import type { Attended } from "./attending.js";
import type { OpCall } from "./op.js";

/** The axis of positions: [batch, heads, positions, width], positions before heads, or before all. */
export type PositionAxis = 0 | 1 | 2;

/** Where [batch, heads, positions, width] lies in a dense tensor, in elements: those of a head are side by side. */
export interface View {
  readonly offset: number;
  readonly strides: readonly [batch: number, head: number, position: number];
}

/** What a fused attention computes: softmax(scale·Q·Kᵀ + mask)·V of heads of so many positions. */
export interface AttentionForm {
  readonly scale: number;
  /** Query i sees the keys up to i + ahead; undefined: all. */
  readonly ahead: number | undefined;
  /** Rows that see no key are 0, not NaN. */
  readonly zeroHidden: boolean;
  readonly sizes: Sizes;
  /** Where Q, K and V lie in their inputs, which may be one tensor. */
  readonly views: readonly [q: View, k: View, v: View];
  /** Which axis of Y the positions are; the others are batch, heads and width, in this order. */
  readonly positionAxis: PositionAxis;
}

/** How many of everything there are. */
export type Sizes = Omit<Attended, "valueWidth">;

const sizeNames = ["batch", "heads", "kvHeads", "queries", "keys", "width"] as const;

const viewNames = ["q", "k", "v"] as const;

/** The form as attributes of a node. */
export const attentionAttributes = ({ scale, ahead, zeroHidden, sizes, views, positionAxis }: AttentionForm) => ({
  scale: float(scale),
  ...(ahead === undefined ? {} : { ahead: int(ahead) }),
  ...(zeroHidden ? { zero_hidden: int(1) } : {}),
  sizes: ints(sizeNames.map((name) => sizes[name])),
  ...Object.fromEntries(
    viewNames.map((name, i) => [name, ints([views[i]?.offset ?? 0, ...(views[i]?.strides ?? [])])]),
  ),
  position_axis: int(positionAxis),
});

/** The form of a node. */
export function attentionForm(call: Pick<OpCall, "int" | "float" | "ints">): AttentionForm {
  const ahead = call.int("ahead", Number.NaN);
  const sizes = call.ints("sizes") ?? [];
  const viewOf = (name: string): View => {
    const [offset = 0, batch = 0, head = 0, position = 0] = call.ints(name) ?? [];
    return { offset, strides: [batch, head, position] };
  };
  return {
    scale: call.float("scale", 1),
    ahead: Number.isNaN(ahead) ? undefined : ahead,
    zeroHidden: call.int("zero_hidden", 0) === 1,
    sizes: Object.fromEntries(sizeNames.map((name, i) => [name, sizes[i] ?? 0])) as unknown as Sizes,
    views: viewNames.map(viewOf) as unknown as AttentionForm["views"],
    positionAxis: call.int("position_axis", 2) as PositionAxis,
  };
}

/** Where the axes of [batch, heads, positions, width] stand in a tensor whose positions are that axis. */
export const places: Readonly<Record<PositionAxis, readonly number[]>> = {
  0: [1, 2, 0, 3],
  1: [0, 2, 1, 3],
  2: [0, 1, 2, 3],
};

/** The shape of a tensor whose positions are that axis, from [batch, heads, positions, width]. */
export const laidOut = (sizes: readonly number[], axis: PositionAxis): number[] =>
  sizes.map((_, place) => sizes[places[axis].indexOf(place)] as number);

/** Where [batch, heads, positions, width] of those sizes lies in a tensor of its own whose positions are that axis. */
export function viewAlone(sizes: readonly [number, number, number, number], axis: PositionAxis): View {
  const shape = laidOut(sizes, axis);
  const strides = [0, 1, 2].map((i) => elementCount(shape.slice((places[axis][i] as number) + 1)));
  return { offset: 0, strides: strides as unknown as View["strides"] };
}

/** Sizes of Q, K or V, the `index`th, as [batch, heads, positions, width]. */
export const sizesOf = ({ batch, heads, kvHeads, queries, keys, width }: Sizes, index: number) =>
  [batch, index ? kvHeads : heads, index ? keys : queries, width] as const;
