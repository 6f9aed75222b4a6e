/** A dimension as exporters write what follows from others: `batch*seq`, `2*batch`, `past + 1`, `floor(s0/2)`. */
export interface DimensionExpression {
  /** The dimensions that it is made of, each once. */
  readonly names: readonly string[];
  /** Its size; undefined while one of its dimensions has none. */
  readonly size: (dims: Readonly<Record<string, number>>) => number | undefined;
}

type Dims = Readonly<Record<string, number>>;

type Term = (dims: Dims) => number;

const token = /\s*(?:(\d+(?:\.\d+)?)|([A-Za-z_][\w.:]*)|(\/\/|\*\*|[-+*/%(),]))/y;

const calls: ReadonlyMap<string, (...values: number[]) => number> = new Map([
  ["floor", Math.floor],
  ["ceil", Math.ceil],
  ["ceiling", Math.ceil],
  ["max", Math.max],
  ["min", Math.min],
  ["floordiv", (a = Number.NaN, b = Number.NaN) => Math.floor(a / b)],
  ["cleandiv", (a = Number.NaN, b = Number.NaN) => a / b],
  ["mod", (a = Number.NaN, b = Number.NaN) => a - b * Math.floor(a / b)],
]);

/** Tokens of a text; undefined if it holds anything else. */
function tokensOf(text: string): string[] | undefined {
  const tokens: string[] = [];
  token.lastIndex = 0;
  while (token.lastIndex < text.trimEnd().length) {
    const found = token.exec(text);
    if (!found) return undefined;
    tokens.push(found[1] ?? found[2] ?? (found[3] as string));
  }
  return tokens;
}

/** Deeper brackets than anything that an exporter writes. */
const deepest = 32;

/** Reads sums of products of powers of numbers, names, calls and brackets. */
class Reader {
  readonly names = new Set<string>();
  private at = 0;
  private depth = 0;

  constructor(private readonly tokens: readonly string[]) {}

  /** The whole text; undefined if it is no arithmetic. */
  whole(): Term | undefined {
    const term = this.sum();
    return term && this.at === this.tokens.length ? term : undefined;
  }

  private take(...wanted: string[]): string | undefined {
    const next = this.tokens[this.at];
    if (next === undefined || !wanted.includes(next)) return undefined;
    this.at++;
    return next;
  }

  /** Terms with operators of one rank between them, from the left. */
  private chain(part: () => Term | undefined, operators: Readonly<Record<string, (a: number, b: number) => number>>) {
    let left = part();
    for (let sign = this.take(...Object.keys(operators)); left && sign; sign = this.take(...Object.keys(operators))) {
      const [first, second, operator] = [left, part(), operators[sign] as (a: number, b: number) => number];
      left = second && ((dims) => operator(first(dims), second(dims)));
    }
    return left;
  }

  private sum(): Term | undefined {
    if (++this.depth > deepest) return undefined;
    const term = this.chain(() => this.product(), { "+": (a, b) => a + b, "-": (a, b) => a - b });
    this.depth--;
    return term;
  }

  private product(): Term | undefined {
    return this.chain(() => this.power(), {
      "*": (a, b) => a * b,
      "/": (a, b) => a / b,
      "//": (a, b) => Math.floor(a / b),
      "%": (a, b) => a - b * Math.floor(a / b),
    });
  }

  private power(): Term | undefined {
    return this.chain(() => this.unit(), { "**": (a, b) => a ** b });
  }

  private unit(): Term | undefined {
    if (this.take("-")) {
      const term = this.unit();
      return term && ((dims) => -term(dims));
    }
    if (this.take("(")) {
      const term = this.sum();
      return this.take(")") ? term : undefined;
    }
    const next = this.tokens[this.at++] ?? "";
    if (/^\d/.test(next)) return () => Number(next);
    if (!/^[A-Za-z_]/.test(next)) return undefined;
    const call = this.take("(") && calls.get(next.toLowerCase());
    if (call) return this.call(call);
    if (this.tokens[this.at - 1] === "(") return undefined;
    this.names.add(next);
    return (dims) => (Object.hasOwn(dims, next) ? (dims[next] as number) : Number.NaN);
  }

  private call(call: (...values: number[]) => number): Term | undefined {
    const terms: Term[] = [];
    do {
      const term = this.sum();
      if (!term) return undefined;
      terms.push(term);
    } while (this.take(","));
    return this.take(")") ? (dims) => call(...terms.map((term) => term(dims))) : undefined;
  }
}

/**
 * The arithmetic in a dimension's text; undefined if it is a plain name. Names may hold `-` and `/` (`batch-size`): these
 * are operators only with spaces around them, in brackets, or between dimensions that `isDimension` knows.
 */
export function dimensionExpression(
  text: string,
  isDimension: (name: string) => boolean,
): DimensionExpression | undefined {
  const tokens = tokensOf(text);
  if (!tokens || tokens.length < 2) return undefined;
  const reader = new Reader(tokens);
  const term = reader.whole();
  const names = [...reader.names];
  if (!term || names.length === 0) return undefined;
  if (!/[*+(]|\s[-/%]+\s|\/\//.test(text) && !names.every(isDimension)) return undefined;
  return {
    names,
    size: (dims) => {
      const value = term(dims);
      return Number.isNaN(value) ? undefined : value;
    },
  };
}
