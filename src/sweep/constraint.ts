import { nearest } from "../format.js";
import { parseBudget } from "../plan/budget.js";

/** What a name of a constraint stands for in a point; undefined where the point has none. */
export type Lookup = (name: string) => string | number | undefined;

/** Something that must hold of a point: `batch * length <= 4096`. */
export interface Constraint {
  readonly text: string;
  /** The names that it asks for. */
  readonly names: ReadonlySet<string>;
  holds(lookup: Lookup): boolean;
}

type Value = string | number | boolean | undefined;
type Term = (lookup: Lookup) => Value;

/** A size or a share (`4GiB`, `60%`), a number, a text in quotes, a name (in backticks where it is no plain word), a sign. */
const token =
  /\s*(?:(\d+(?:\.\d+)?(?:%|[kmgt]i?b|b))(?![\w.])|(\d+(?:\.\d+)?)(?![\w.])|"([^"]*)"|'([^']*)'|`([^`]+)`|([A-Za-z_][\w.]*)|(<=|>=|==|!=|[-+*/%<>()]))/iy;

type Token = { readonly kind: "size" | "number" | "text" | "name" | "word" | "sign" | "end"; readonly text: string };

const words = new Set(["and", "or", "not", "none", "true", "false"]);

const how = "use names, numbers, + - * / %, < <= == != >= >, and, or, not, brackets";

function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  token.lastIndex = 0;
  const end = text.trimEnd().length;
  while (token.lastIndex < end) {
    const from = token.lastIndex;
    const found = token.exec(text);
    if (!found) throw new Error(`constraint cannot be read: ${text} (at "${text.slice(from).trim()}"; ${how})`);
    const [, size, number, double, single, quoted, name, sign] = found;
    if (size !== undefined) tokens.push({ kind: "size", text: size });
    else if (number !== undefined) tokens.push({ kind: "number", text: number });
    else if ((double ?? single) !== undefined) tokens.push({ kind: "text", text: (double ?? single) as string });
    else if (sign !== undefined) tokens.push({ kind: "sign", text: sign });
    else if (name !== undefined && words.has(name)) tokens.push({ kind: "word", text: name });
    else tokens.push({ kind: "name", text: (quoted ?? name) as string });
  }
  return [...tokens, { kind: "end", text: "its end" }];
}

/** A value as a number to be put in order: a size as bytes, a share as itself; of sizes and shares only like ones. */
function orderOf(value: Value): { readonly kind: string; readonly amount: number } | undefined {
  if (typeof value === "number") return { kind: "number", amount: value };
  if (typeof value !== "string") return undefined;
  try {
    const size = parseBudget(value);
    return "share" in size ? { kind: "share", amount: size.share } : { kind: "bytes", amount: size.bytes };
  } catch {
    return undefined;
  }
}

const ordered = (left: Value, right: Value, holds: (a: number, z: number) => boolean): boolean => {
  const [a, z] = [orderOf(left), orderOf(right)];
  return a !== undefined && z !== undefined && a.kind === z.kind && holds(a.amount, z.amount);
};

const equal = (left: Value, right: Value): boolean =>
  left === right || (typeof left === "string" && typeof right === "string" && ordered(left, right, (a, z) => a === z));

const comparisons: Readonly<Record<string, (left: Value, right: Value) => boolean>> = {
  "<": (left, right) => ordered(left, right, (a, z) => a < z),
  "<=": (left, right) => ordered(left, right, (a, z) => a <= z),
  ">": (left, right) => ordered(left, right, (a, z) => a > z),
  ">=": (left, right) => ordered(left, right, (a, z) => a >= z),
  "==": equal,
  "!=": (left, right) => !equal(left, right),
};

const operations: Readonly<Record<string, (a: number, z: number) => number>> = {
  "+": (a, z) => a + z,
  "-": (a, z) => a - z,
  "*": (a, z) => a * z,
  "/": (a, z) => a / z,
  "%": (a, z) => a % z,
};

/** Operators from the weakest on. */
const levels: readonly (readonly string[])[] = [["or"], ["and"], Object.keys(comparisons), ["+", "-"], ["*", "/", "%"]];

/** Deeper brackets than anybody writes. */
const deepest = 50;

class Reader {
  readonly names = new Set<string>();
  private at = 0;
  private depth = 0;

  constructor(
    private readonly text: string,
    private readonly tokens: readonly Token[],
  ) {}

  whole(): Term {
    const term = this.level(0);
    if (this.next.kind !== "end") this.refuse();
    return term;
  }

  private get next(): Token {
    return this.tokens[this.at] as Token;
  }

  private refuse(): never {
    throw new Error(`constraint cannot be read: ${this.text} (at ${this.next.text}; ${how})`);
  }

  private take(...texts: readonly string[]): string | undefined {
    const { kind, text } = this.next;
    if ((kind !== "sign" && kind !== "word") || !texts.includes(text)) return undefined;
    this.at++;
    return text;
  }

  private level(level: number): Term {
    const operators = levels[level];
    if (!operators) return this.operand();
    let left = this.level(level + 1);
    for (let sign = this.take(...operators); sign !== undefined; sign = this.take(...operators))
      left = joined(sign, left, this.level(level + 1));
    return left;
  }

  private operand(): Term {
    if (++this.depth > deepest) this.refuse();
    const term = this.plain();
    this.depth--;
    return term;
  }

  private plain(): Term {
    if (this.take("not")) {
      const inner = this.level(2);
      return (lookup) => inner(lookup) !== true;
    }
    if (this.take("-")) {
      const inner = this.operand();
      return (lookup) => numberOf(inner(lookup), (value) => -value);
    }
    if (this.take("(")) {
      const inner = this.level(0);
      if (!this.take(")")) this.refuse();
      return inner;
    }
    const { kind, text } = this.next;
    if (kind === "sign" || kind === "end") this.refuse();
    this.at++;
    if (kind === "word") {
      const known: Readonly<Record<string, Value>> = { true: true, false: false, none: undefined };
      if (!Object.hasOwn(known, text)) this.refuse();
      return () => known[text];
    }
    if (kind !== "name") return () => (kind === "number" ? Number(text) : text);
    this.names.add(text);
    return (lookup) => lookup(text);
  }
}

const numberOf = (value: Value, of: (value: number) => number): number | undefined =>
  typeof value === "number" ? of(value) : undefined;

function joined(sign: string, left: Term, right: Term): Term {
  if (sign === "or") return (lookup) => left(lookup) === true || right(lookup) === true;
  if (sign === "and") return (lookup) => left(lookup) === true && right(lookup) === true;
  const compare = comparisons[sign];
  if (compare) return (lookup) => compare(left(lookup), right(lookup));
  const operate = operations[sign] as (a: number, z: number) => number;
  return (lookup) => numberOf(left(lookup), (a) => numberOf(right(lookup), (z) => operate(a, z)) ?? Number.NaN);
}

/**
 * Reads a constraint: comparisons of names, numbers, sizes (`4GiB`), shares (`60%`) and texts, joined by `and`, `or`, `not`.
 * What a point does not have is `none`; nothing is less or greater than that. Throws `constraint cannot be read: …`.
 */
export function parseConstraint(text: string): Constraint {
  const reader = new Reader(text, tokensOf(text));
  const term = reader.whole();
  return { text, names: reader.names, holds: (lookup) => term(lookup) === true };
}

/** Throws `unknown name in a constraint: …` for a name that no point can have. */
export function checkNames({ names, text }: Constraint, known: readonly string[]): void {
  for (const name of names)
    if (!known.includes(name))
      throw new Error(
        `unknown name in a constraint: ${name} (nearest: ${nearest(name, known, 3).join(", ")}; in ${text})`,
      );
}
