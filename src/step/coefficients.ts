import type { Builder } from "../build/build.js";
import { type DType, int } from "../graph/graph.js";
import type { Operand } from "../ops/math.js";

/** A number for all models of a step, or one for each. */
export type Setting = number | readonly number[];

/** Which model each row of a flat buffer [rows, row length] belongs to. All models have as many rows. */
export interface ModelRows {
  readonly models: number;
  /** From 0, one for each row. */
  readonly of: readonly number[];
  /** In a step one model may be updated and another not: states that count updates are each model's own. */
  readonly isGuarded: boolean;
}

/** One number for all models if they agree, else one for each. */
export const settingOf = (values: readonly number[]): Setting =>
  values.every((value) => value === values[0]) ? (values[0] as number) : values;

/** A function of a setting, or of two, for each model. */
export function mapped(a: Setting, z: Setting, of: (a: number, z: number) => number): Setting {
  if (typeof a === "number" && typeof z === "number") return of(a, z);
  const count = Math.max(typeof a === "number" ? 1 : a.length, typeof z === "number" ? 1 : z.length);
  const at = (setting: Setting, i: number): number => (typeof setting === "number" ? setting : (setting[i] as number));
  return Array.from({ length: count }, (_, i) => of(at(a, i), at(z, i)));
}

/** Whether the number is another than 0, of any model. */
export const isUsed = (setting: Setting): boolean =>
  typeof setting === "number" ? setting !== 0 : setting.some((value) => value !== 0);

/** The numbers of all models as a list. */
export const listed = (setting: Setting, models: number): readonly number[] =>
  typeof setting === "number" ? new Array<number>(models).fill(setting) : setting;

/** A vector of the models' numbers, [models], as it stands beside the rows of a flat buffer: [rows, 1]. */
export const besideRows = (b: Builder, { of }: ModelRows, vector: string): string =>
  b.op("Gather", [vector, b.constant("int32", [of.length, 1], of)], { axis: int(0) });

/** A setting as an operand beside a flat buffer: a number, or a constant [rows, 1]. */
export const coefficient = (b: Builder, rows: ModelRows | undefined, dtype: DType, setting: Setting): Operand => {
  if (typeof setting === "number") return setting;
  const of = (rows as ModelRows).of;
  const values = of.map((model) => setting[model] as number);
  return b.constant(dtype, [of.length, 1], values);
};

/** The sum of each model's elements in a flat buffer, [models]: row by row, then over each model's rows. */
export function sumsOfModels(b: Builder, { models, of }: ModelRows, flat: string): string {
  const sums = b.op("ReduceSum", [flat, b.vector([1])], { keepdims: int(0) });
  const own: number[][] = Array.from({ length: models }, () => []);
  of.forEach((model, row) => {
    own[model]?.push(row);
  });
  const index = b.constant("int32", [models, of.length / models], own.flat());
  return b.op("ReduceSum", [b.op("Gather", [sums, index], { axis: int(0) }), b.vector([1])], { keepdims: int(0) });
}
