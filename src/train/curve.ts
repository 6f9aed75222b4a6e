/** More values than this are joined in pairs: a training of any length has a curve of a page's size. */
export const mostPoints = 2048;

/**
 * One number over the steps of a training. Each value stands for `stride` steps, the first for steps 1 to `stride`; what
 * is in `sum` and `count` fills the next one. Adding the same numbers gives the same curve, saved in between or not.
 */
export interface StepCurve {
  stride: number;
  values: number[];
  sum: number;
  count: number;
}

export const newCurve = (): StepCurve => ({ stride: 1, values: [], sum: 0, count: 0 });

/** Adds a step's number: values are means over their steps. */
export function addToCurve(curve: StepCurve, value: number): void {
  curve.sum += value;
  curve.count++;
  if (curve.count < curve.stride) return;
  curve.values.push(curve.sum / curve.count);
  curve.sum = 0;
  curve.count = 0;
  if (curve.values.length < mostPoints) return;
  curve.values = pairs(curve.values, (a, z) => (a + z) / 2);
  curve.stride *= 2;
}

const pairs = (values: readonly number[], join: (a: number, z: number) => number): number[] =>
  Array.from({ length: values.length / 2 }, (_, i) => join(values[2 * i] as number, values[2 * i + 1] as number));

/** The points of a curve: the last step of each value, and the value; the unfinished one is the last. */
export function pointsOf({ stride, values, sum, count }: Readonly<StepCurve>): { steps: number[]; values: number[] } {
  const steps = values.map((_, i) => (i + 1) * stride);
  if (count === 0) return { steps, values: [...values] };
  return { steps: [...steps, values.length * stride + count], values: [...values, sum / count] };
}

/** What a process holds after some of the steps, bytes. */
export interface MemoryCurve {
  /** Of whom: the process's resident bytes (the CPU's memory), or what the driver says that it holds on its device. */
  what: "resident" | "device";
  steps: number[];
  bytes: number[];
}

/** Adds what is held after a step; of many neighbours the most stays. */
export function addToMemory(curve: MemoryCurve, step: number, bytes: number): void {
  curve.steps.push(step);
  curve.bytes.push(bytes);
  if (curve.steps.length < mostPoints) return;
  curve.steps = pairs(curve.steps, (_, z) => z);
  curve.bytes = pairs(curve.bytes, Math.max);
}
