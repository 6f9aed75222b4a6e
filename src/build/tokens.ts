const wordPattern = String.raw`[A-Za-z_/][\w./@$]*(?:[:-][\w./@$]+)*`;

const wholeWord = new RegExp(`^${wordPattern}$`);

const tokenPattern = [
  String.raw`"(?:[^"\\\n]|\\.)*"`,
  wordPattern,
  String.raw`[-+]?(?:\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|inf\b|nan\b)`,
  String.raw`=>|->|\.\.\.|[()[\]{}<>,:=]`,
].join("|");

/** Whether a name needs no quotes. */
export const plainWord = (name: string): boolean => wholeWord.test(name) && name !== "_";

export interface Token {
  readonly text: string;
  readonly kind: "word" | "string" | "number" | "sign" | "end";
  readonly line: number;
}

export function tokens(text: string): Token[] {
  const pattern = new RegExp(tokenPattern, "y");
  const found: Token[] = [];
  let line = 1;
  for (let at = 0; at < text.length; ) {
    const blank = /[^\S\n]+|\n|#[^\n]*/y;
    blank.lastIndex = at;
    const skipped = blank.exec(text)?.[0];
    if (skipped) {
      if (skipped === "\n") line++;
      at += skipped.length;
      continue;
    }
    pattern.lastIndex = at;
    const match = pattern.exec(text)?.[0];
    if (!match) throw new Error(`unexpected character: ${JSON.stringify(text[at])} (line ${line})`);
    const kind =
      match[0] === '"' ? "string" : wholeWord.test(match) ? "word" : /\d|inf|nan/.test(match) ? "number" : "sign";
    found.push({ text: match, kind, line });
    at += match.length;
  }
  found.push({ text: "end of text", kind: "end", line });
  return found;
}
