import { int } from "../graph/graph.js";
import type { Emit } from "../ops/emit.js";
import type { Cut, PartialGradient } from "../ops/op.js";
import { reshape, zeros } from "../ops/shapes.js";

/** The first place of a cut, whichever way it goes. */
const firstOf = ({ start, step, count }: Cut): number => Math.min(start, start + (count - 1) * step);

const add = (b: Emit, parts: readonly string[]): string =>
  parts.reduce((sum, part) => b.op("Add", [sum, part], {}, { category: "gradient" }));

/**
 * The gradient of a whole tensor of that shape, given those of parts of it. Parts that lie side by side are joined
 * (Concat); what stays empty is zero (Pad); parts that overlap are added.
 */
export function wholeGradient(b: Emit, parts: readonly PartialGradient[], shape: readonly number[]): string {
  const cutting = parts.map(({ gradient, cuts }) => ({
    gradient,
    cuts: cuts.filter(({ axis, step, count }) => step !== 1 || count !== shape[axis]),
  }));
  const axis = Math.min(...cutting.flatMap(({ cuts }) => cuts.map((cut) => cut.axis)));
  if (!Number.isFinite(axis))
    return add(
      b,
      cutting.map(({ gradient }) => gradient),
    );
  const whole = cutting.filter(({ cuts }) => cuts.every((cut) => cut.axis !== axis));
  /** Parts with the same places along the axis, by those. */
  const groups = new Map<string, { cut: Cut; parts: PartialGradient[] }>();
  for (const { gradient, cuts } of cutting) {
    const cut = cuts.find((one) => one.axis === axis);
    if (!cut) continue;
    const key = [cut.start, cut.step, cut.count].join();
    const group = groups.get(key) ?? { cut, parts: [] };
    group.parts.push({ gradient, cuts: cuts.filter((one) => one !== cut) });
    groups.set(key, group);
  }
  const made = [...groups.values()].map((group): Piece => {
    const inner = wholeGradient(b, group.parts, shape.with(axis, group.cut.count));
    return { gradient: forward(b, inner, group.cut), first: firstOf(group.cut), ...group.cut };
  });
  const sums = joined(b, made, axis, shape[axis] as number);
  return add(b, whole.length ? [...sums, wholeGradient(b, whole, shape)] : sums);
}

/** A cut of one axis with its gradient, which goes upward. */
interface Piece extends Cut {
  readonly gradient: string;
  readonly first: number;
}

/** The gradient of a cut, turned round if the cut goes downward. */
function forward(b: Emit, gradient: string, { axis, step, count }: Cut): string {
  if (step > 0 || count < 2) return gradient;
  const list = [[-1], [-(2 ** 31)], [axis], [-1]].map((values) => b.vector(values));
  return b.op("Slice", [gradient, ...list]);
}

/** Tensors of the axis' whole size whose sum has all pieces in their places. */
function joined(b: Emit, pieces: readonly Piece[], axis: number, size: number): string[] {
  const dense = pieces.filter(({ step }) => Math.abs(step) === 1).sort((a, z) => a.first - z.first);
  const spread = pieces.filter(({ step }) => Math.abs(step) !== 1);
  const result: string[] = [];
  // rows of pieces that do not overlap
  for (let left = dense; left.length; ) {
    const row: Piece[] = [];
    const others: Piece[] = [];
    let end = 0;
    for (const piece of left) {
      if (piece.first < end) {
        others.push(piece);
        continue;
      }
      row.push(piece);
      end = piece.first + piece.count;
    }
    result.push(inRow(b, row, axis, size));
    left = others;
  }
  const strides = new Set(spread.map(({ step }) => Math.abs(step)));
  for (const stride of strides)
    result.push(
      ...interleaved(
        b,
        spread.filter(({ step }) => Math.abs(step) === stride),
        axis,
        size,
        stride,
      ),
    );
  return result;
}

/** Pieces that do not overlap, in their order, as one tensor: zeros where none is. */
function inRow(b: Emit, row: readonly Piece[], axis: number, size: number): string {
  const [head, tail] = [row[0] as Piece, row.at(-1) as Piece];
  const { dtype, shape } = b.type(head.gradient);
  const parts = row.flatMap((piece, i) => {
    const before = row[i - 1];
    const gap = before ? piece.first - before.first - before.count : 0;
    return gap ? [zeros(b, { dtype, shape: shape.with(axis, gap) }), piece.gradient] : [piece.gradient];
  });
  const middle = parts.length === 1 ? head.gradient : b.op("Concat", parts, { axis: int(axis) });
  return padded(b, middle, axis, head.first, size - tail.first - tail.count);
}

function padded(b: Emit, x: string, axis: number, before: number, after: number): string {
  if (before === 0 && after === 0) return x;
  const none = b.type(x).shape.map(() => 0);
  return b.op("Pad", [x, b.vector([...none.with(axis, before), ...none.with(axis, after)])]);
}

/** Pieces of one stride: those that together take each place once in turn as one tensor, each other as its own. */
function interleaved(b: Emit, pieces: readonly Piece[], axis: number, size: number, stride: number): string[] {
  const turns = Array.from({ length: stride }, (_, i) =>
    pieces.find(({ first, count }) => first === i && count * stride === size),
  );
  const whole = turns.filter((piece) => piece !== undefined);
  if (whole.length < stride) return pieces.map((piece) => spreadOut(b, piece, axis, size, stride));
  const columns = whole.map(({ gradient, count }) => {
    const { shape } = b.type(gradient);
    return reshape(b, gradient, [...shape.slice(0, axis), count, 1, ...shape.slice(axis + 1)]);
  });
  const { shape } = b.type((whole[0] as Piece).gradient);
  const made = reshape(b, b.op("Concat", columns, { axis: int(axis + 1) }), shape.with(axis, size));
  const others = pieces.filter((piece) => !whole.includes(piece));
  return [made, ...others.map((piece) => spreadOut(b, piece, axis, size, stride))];
}

/** Each element of a piece followed by the zeros that its stride skips, then zeros on both sides. */
function spreadOut(b: Emit, { gradient, first, count }: Piece, axis: number, size: number, stride: number): string {
  const { shape } = b.type(gradient);
  const [before, after] = [shape.slice(0, axis), shape.slice(axis + 1)];
  const column = reshape(b, gradient, [...before, count, 1, ...after]);
  const spread = reshape(b, padded(b, column, axis + 1, 0, stride - 1), shape.with(axis, count * stride));
  const start = count === 0 ? 0 : first;
  return padded(b, spread, axis, start, size - start - count * stride);
}
