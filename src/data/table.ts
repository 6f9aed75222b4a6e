import { few } from "../format.js";
import { shown } from "../schema.js";
import { areNames, arrayDataset, type ColumnChoice } from "./arrays.js";
import type { Dataset } from "./dataset.js";
import { heldArray, type Rows, rowsOf } from "./stored.js";

/** Names that a table's column may have that holds what a model is to say, in the order in which they are looked for. */
export const targetNames: readonly string[] = ["target", "label", "labels", "y"];

/** What is read of a table. */
export interface TableOptions {
  /**
   * Which columns the tensors take. Default the one called `target`, `label`, `labels` or `y` as the target, and all others
   * as `input`; so too for the one of both that is not named.
   */
  readonly columns?: ColumnChoice | undefined;
  /** The classes that the target's texts are of, by number; default those that occur, by name. */
  readonly classes?: readonly string[] | undefined;
}

/** The columns of a table as they are filled, a row at a time. */
export interface TableColumns {
  /** Adds a row; cells are texts, numbers, true and false. Throws for one that is missing or no number. */
  readonly add: (cells: readonly unknown[]) => void;
  readonly dataset: () => Dataset;
}

/** A column of numbers that grows. */
class Numbers64 {
  values = new Float64Array(256);
  count = 0;

  push(value: number): void {
    if (this.count === this.values.length) {
      const more = new Float64Array(2 * this.count);
      more.set(this.values);
      this.values = more;
    }
    this.values[this.count++] = value;
  }
}

const isDecimal = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;

/** Cells that say that there is nothing. */
const isNothing = /^(?:|nan|na|n\/a|null|none)$/i;

/** The number that a cell holds; undefined if it holds another text. Throws why for one that holds nothing. */
function numberIn(cell: unknown): number | undefined {
  if (cell === null || cell === undefined || Number.isNaN(cell)) throw new Error("is missing");
  if (typeof cell === "boolean") return Number(cell);
  if (typeof cell === "bigint") return Number(cell);
  if (typeof cell === "number") {
    if (!Number.isFinite(cell)) throw new Error("is not finite");
    return cell;
  }
  const text = String(cell).trim();
  if (isNothing.test(text)) throw new Error(text === "" ? "is missing" : `is missing: ${text}`);
  if (isDecimal.test(text)) return finite(Number(text));
  if (/^(?:true|false)$/i.test(text)) return Number(/^t/i.test(text));
  if (/^[+-]?inf(?:inity)?$/i.test(text)) throw new Error("is not finite");
  return undefined;
}

function finite(value: number): number {
  if (!Number.isFinite(value)) throw new Error("is beyond float64");
  return value;
}

/**
 * The tensors' columns of a table: those chosen, and what is not chosen by its default. Throws for a column without a name,
 * as pandas writes its index, that would be an input.
 */
function completeChoice(name: string, fields: readonly string[], chosen: ColumnChoice = {}): ColumnChoice {
  const taken = new Set(Object.values(chosen).flat());
  const hasTarget = targetNames.some((name) => Object.hasOwn(chosen, name));
  const target = hasTarget ? undefined : targetNames.find((name) => fields.includes(name) && !taken.has(name));
  const hasInput = Object.keys(chosen).some((name) => !targetNames.includes(name));
  const features = hasInput ? [] : fields.filter((field) => field !== target && !taken.has(field));
  if (features.includes(""))
    throw new Error(
      `a column without a name in ${name}: an index is no feature (save it without, or choose by columns)`,
    );
  return { ...chosen, ...(features.length > 0 && { input: features }), ...(target !== undefined && { target }) };
}

/**
 * Rows of a table as a dataset: numbers as float64, a target of texts as class numbers. Messages name row (the first below
 * the names is 1) and column.
 */
export function tableColumns(name: string, fields: readonly string[], options: TableOptions): TableColumns {
  const twice = fields.find((field, i) => fields.indexOf(field) !== i);
  if (twice !== undefined) throw new Error(`two columns called ${shown(twice)} in ${name}`);
  const choice = completeChoice(name, fields, options.columns);
  const places = new Map(
    Object.values(choice)
      .flat()
      .map((field) => {
        const at = fields.indexOf(field);
        if (at < 0) throw new Error(`no column ${field} in ${name}; there ${areNames(fields)}`);
        return [field, at];
      }),
  );
  const target = [choice.target ?? []].flat();
  const texts = new Texts(target.length === 1 ? target[0] : undefined, options.classes);
  const columns = [...places].map(([field, at]) => ({ field, at, numbers: new Numbers64() }));
  let row = 0;
  return {
    add(cells) {
      row++;
      if (cells.length !== fields.length)
        throw new Error(`row ${row} of ${name} has ${cells.length} cells, not ${fields.length}`);
      for (const { field, at, numbers } of columns) {
        const cell = cells[at];
        const refuse = (why: string): Error => new Error(`row ${row}, column ${field} of ${name} ${why}`);
        try {
          const number = numberIn(cell);
          if (texts.takes(field)) numbers.push(texts.code(cell, number));
          else if (number === undefined) throw new Error(`is no number: ${shown(cell)}`);
          else numbers.push(number);
        } catch (error) {
          throw refuse((error as Error).message);
        }
      }
    },
    dataset() {
      const rows = new Map<string, Rows>();
      for (const { field, numbers } of columns) {
        const values = numbers.values.subarray(0, numbers.count);
        if (texts.takes(field)) texts.settle(values);
        const isClass = texts.takes(field) && texts.classes !== undefined;
        const typed = isClass ? BigInt64Array.from(values, BigInt) : values;
        const dtype = isClass ? "int64" : "float64";
        rows.set(field, rowsOf(heldArray(dtype, [numbers.count], typed), name));
      }
      const at = (index: number): string => `row ${index + 1}`;
      return arrayDataset({ name, rows, fields, columns: choice, classes: texts.classes, at, isFlat: true });
    },
  };
}

/** What a target's cells say: numbers, or texts that are classes. */
class Texts {
  classes: readonly string[] | undefined;
  private readonly codes = new Map<string, number>();
  private readonly numbers: (number | undefined)[] = [];
  private isText = false;

  constructor(
    private readonly field: string | undefined,
    private readonly given: readonly string[] | undefined,
  ) {}

  takes(field: string): boolean {
    return field === this.field;
  }

  /** The number of a cell's text among those that occur. */
  code(cell: unknown, number: number | undefined): number {
    const text = String(cell).trim();
    if (number === undefined) this.isText = true;
    const known = this.codes.get(text);
    if (known !== undefined) return known;
    if (this.given && !this.given.includes(text))
      throw new Error(`is no class: ${shown(cell)}, not one of ${few(this.given)}`);
    this.codes.set(text, this.codes.size);
    this.numbers.push(number);
    return this.codes.size - 1;
  }

  /** Codes as class numbers, or as the numbers that they stand for if all are numbers. */
  settle(values: Float64Array): void {
    const texts = [...this.codes.keys()];
    if (this.isText || this.given) {
      const classes = this.given ?? [...texts].sort();
      this.classes = classes;
      const numbers = texts.map((text) => classes.indexOf(text));
      for (let i = 0; i < values.length; i++) values[i] = numbers[values[i] as number] as number;
      return;
    }
    for (let i = 0; i < values.length; i++) values[i] = this.numbers[values[i] as number] as number;
  }
}

/** A table of rows of values, as danfo's DataFrame is. */
export interface TableLike {
  readonly columns: readonly string[];
  /** Rows of values. */
  readonly values: unknown;
}

/**
 * A danfo DataFrame, or what has its `columns` and rows of `values`, as a dataset: read, joined and mended by danfo it is
 * trained with as it is. Throws one line with row (from 1) and column for a missing value, NaN and a text that is no class.
 */
export function frameData(frame: TableLike, options: TableOptions & { readonly name?: string } = {}): Dataset {
  const { columns, values } = frame;
  const { name = "table" } = options;
  if (!Array.isArray(columns) || !Array.isArray(values)) throw new Error(`no table of rows and columns: ${name}`);
  const table = tableColumns(name, columns, options);
  for (const row of values as readonly unknown[]) table.add(Array.isArray(row) ? row : [row]);
  return table.dataset();
}
