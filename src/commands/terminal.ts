import { styleText } from "node:util";

type Stream = NodeJS.WriteStream;

/** Ways in which the first word of a line is painted on a terminal that shows colours. */
const paints = [
  [/^(mutwo:|error:)/, "red"],
  [/^(warning:)/, "yellow"],
  [/^(note:|advice:)/, "cyan"],
] as const;

/** Whether a stream shows colours: a terminal does, unless `NO_COLOR` or `--no-color` asks for none. */
const hasColours = (stream: Stream): boolean => stream.isTTY === true && stream.hasColors?.() === true;

/** A text in a colour, on a stream that shows colours. */
export const painted = (style: "red" | "green" | "yellow" | "cyan" | "bold", text: string, stream: Stream): string =>
  hasColours(stream) ? styleText(style, text, { validateStream: false }) : text;

/** Lines with `mutwo:`, `warning:` and `note:` in colours, on a stream that shows colours. */
export function inColour(text: string, stream: Stream): string {
  if (!hasColours(stream)) return text;
  const paint = (line: string): string => {
    const found = paints.find(([mark]) => mark.test(line));
    return found ? line.replace(found[0], (word) => painted(found[1], word, stream)) : line;
  };
  return text.split("\n").map(paint).join("\n");
}

/** Says on stderr what is wrong: `mutwo: …`, the prefix of every error. */
export const complain = (line: string): void => void process.stderr.write(inColour(`mutwo: ${line}\n`, process.stderr));

/** The words of a command line without `--no-color`, which may stand anywhere, and is obeyed. */
export function withoutColour(words: readonly string[]): string[] {
  const end = words.indexOf("--");
  const isAsked = (word: string, at: number): boolean => word === "--no-color" && (end < 0 || at < end);
  if (words.some(isAsked)) {
    process.env.NO_COLOR = "1";
    delete process.env.FORCE_COLOR;
  }
  return words.filter((word, at) => !isAsked(word, at));
}
