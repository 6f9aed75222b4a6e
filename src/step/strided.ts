/** Places along one direction of a tensor: so many, a step apart in its elements. */
export interface Dimension {
  readonly size: number;
  readonly stride: number;
}

/** Elements from one place along each axis of a dense tensor to the next. */
export function denseStrides(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length).fill(1);
  for (let axis = shape.length - 2; axis >= 0; axis--)
    strides[axis] = (strides[axis + 1] as number) * (shape[axis + 1] as number);
  return strides;
}

/** The dimensions of a dense tensor. */
export const denseDimensions = (shape: readonly number[]): Dimension[] =>
  denseStrides(shape).map((stride, axis) => ({ size: shape[axis] as number, stride }));

/**
 * Strides with which the same elements, in the same order, are gone through in other sizes; undefined if there are none.
 * That of a size of 1 is 0.
 */
export function regrouped(dimensions: readonly Dimension[], sizes: readonly number[]): number[] | undefined {
  // what goes on where the next one ends
  const runs: Dimension[] = [];
  for (const { size, stride } of dimensions) {
    const last = runs.at(-1);
    if (size === 1) continue;
    if (last?.stride === size * stride) runs[runs.length - 1] = { size: last.size * size, stride };
    else runs.push({ size, stride });
  }
  const strides = new Array<number>(sizes.length).fill(0);
  let run = runs.pop();
  for (let i = sizes.length - 1; i >= 0; i--) {
    const size = sizes[i] as number;
    if (size === 1) continue;
    if (!run || run.size % size !== 0) return undefined;
    strides[i] = run.stride;
    run = run.size === size ? runs.pop() : { size: run.size / size, stride: run.stride * size };
  }
  return run ? undefined : strides;
}

/** Elements of a dense tensor: the place of the first, and where the others are, by what each dimension is for. */
export interface Strided<Role extends string> {
  readonly offset: number;
  readonly dimensions: readonly (Dimension & { readonly role: Role })[];
}

/**
 * Where elements that lie in a dense tensor of that shape are in another one, whose strides along the same axes are given;
 * undefined if a dimension goes across axes in other steps than theirs.
 */
export function moved<Role extends string>(
  { offset, dimensions }: Strided<Role>,
  shape: readonly number[],
  strides: readonly number[],
): Strided<Role> | undefined {
  const own = denseStrides(shape);
  // axes of one place hold nothing
  const axes = shape.map((_, axis) => axis).filter((axis) => (shape[axis] as number) > 1);
  const last = axes.map((axis) => Math.floor(offset / (own[axis] as number)) % (shape[axis] as number));
  const found: (Dimension & { readonly role: Role })[] = [];
  const start = axes.reduce((sum, axis, i) => sum + (last[i] as number) * (strides[axis] as number), 0);
  for (const { size: whole, stride: first, role } of dimensions) {
    const parts: (Dimension & { readonly role: Role })[] = whole === 1 ? [{ size: 1, stride: 0, role }] : [];
    for (let size = whole, stride = first; size > 1; ) {
      const at = axes.findIndex((axis) => (own[axis] as number) <= stride);
      const axis = axes[at];
      if (axis === undefined || stride % (own[axis] as number) !== 0) return undefined;
      const [room, step] = [shape[axis] as number, stride / (own[axis] as number)];
      // what does not fit goes on along the axis before
      const count = size * step <= room ? size : room / step;
      if (!Number.isInteger(count) || size % count !== 0) return undefined;
      last[at] = (last[at] as number) + (count - 1) * step;
      if ((last[at] as number) >= room) return undefined;
      parts.unshift({ size: count, stride: step * (strides[axis] as number), role });
      size /= count;
      stride *= count;
    }
    found.push(...parts);
  }
  return { offset: start, dimensions: found };
}
