import { type Token, tokens } from "./tokens.js";

/** Takes a text's tokens one after the other. All errors are one line that ends with the line number. */
export class Reader {
  private at = 0;
  private readonly tokens: readonly Token[];

  constructor(text: string) {
    this.tokens = tokens(text);
  }

  /** The token that comes next, or one behind it. */
  peek(ahead = 0): Token {
    return this.tokens[Math.min(this.at + ahead, this.tokens.length - 1)] as Token;
  }

  next(): Token {
    const token = this.peek();
    this.at++;
    return token;
  }

  /** Takes the next tokens if they are these. */
  take(...texts: readonly string[]): boolean {
    if (texts.some((text, ahead) => this.peek(ahead).text !== text)) return false;
    this.at += texts.length;
    return true;
  }

  fail(wanted: string, token = this.peek()): never {
    throw new Error(`expected ${wanted}, found ${token.text} (line ${token.line})`);
  }

  expect(text: string): void {
    if (!this.take(text)) this.fail(text);
  }

  /** Items between two signs, separated by commas. */
  list<T>(open: string, close: string, item: () => T): T[] {
    this.expect(open);
    const items: T[] = [];
    while (!this.take(close)) {
      items.push(item());
      if (!this.take(",") && this.peek().text !== close) this.fail(`, or ${close}`);
    }
    return items;
  }

  /** A plain word, or anything in quotes. */
  name(): string {
    const token = this.next();
    if (token.kind === "word") return token.text;
    if (token.kind !== "string") return this.fail("a name", token);
    try {
      return JSON.parse(token.text) as string;
    } catch {
      return this.fail("a name", token);
    }
  }

  /** A number as it is written. */
  number(): string {
    const token = this.next();
    if (token.kind !== "number" && token.text !== "inf" && token.text !== "nan") this.fail("a number", token);
    return token.text;
  }

  /** A size or an offset. */
  count(): number {
    const token = this.peek();
    const value = Number(this.number());
    return Number.isSafeInteger(value) && value >= 0 ? value : this.fail("a size", token);
  }

  /** Whether a tensor's name follows, not a category or type before one. */
  startsName(): boolean {
    const after = this.peek(1);
    const isPlaced = after.text === "within" || (after.text === "on" && this.peek(2).text === "host");
    return this.peek().kind !== "word" || after.kind === "sign" || isPlaced;
  }
}
