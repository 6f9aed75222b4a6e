import type { Cell } from "./tables.js";

/** A row of a table, by the columns' names. */
export type Cells = Readonly<Record<string, Cell>>;

/** A number that is not negative. Throws `row … has no number in …`, `row … has a negative number in …`. */
export function number(row: Cells, column: string, index: number): number {
  const value = row[column];
  if (typeof value !== "number") throw new Error(`row ${index + 1} has no number in ${column}: ${value ?? "empty"}`);
  if (value < 0) throw new Error(`row ${index + 1} has a negative number in ${column}: ${value}`);
  return value;
}

export const isText = (value: unknown): value is string => typeof value === "string";

/** What a cell of JSON holds, a list or a record; empty cells hold nothing. Throws `row … has no list in …: …`. */
export function json(row: Cells, column: string, index: number, kind: "list" | "record"): object {
  const text = String(row[column] ?? "");
  if (text === "") return kind === "list" ? [] : {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value) !== (kind === "list"))
    throw new Error(`row ${index + 1} has no JSON ${kind} in ${column}: ${text.slice(0, 60)}`);
  return value;
}

/** The names in a list. */
export function names(row: Cells, column: string, index: number): string[] {
  const list = json(row, column, index, "list") as unknown[];
  if (!list.every(isText)) throw new Error(`row ${index + 1} has more than names in ${column}: ${row[column]}`);
  return list;
}

/** Names with a text each. */
export function texts(row: Cells, column: string, index: number): [string, string][] {
  return Object.entries(json(row, column, index, "record")).map(([name, value]): [string, string] => {
    if (!isText(value)) throw new Error(`row ${index + 1} has no text in ${column} for ${name}: ${value}`);
    return [name, value];
  });
}
