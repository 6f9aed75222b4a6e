/** The most characters that a message has: behind `mutwo: ` a line of 300. */
const longest = 300 - "mutwo: ".length;

/** The most characters of a name in a message that would be too long. */
const longestWord = 60;

/** Characters that a terminal obeys, that end a line, or that turn the order of others round. */
const unprintable = /[\p{Cc}\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/** A text on one line with what does not print escaped, as JavaScript would write it: `\n`, `\u001b`. */
export const printable = (text: string): string =>
  text.replace(unprintable, (character) => {
    const written = JSON.stringify(character).slice(1, -1);
    return written.length > 1 ? written : `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });

/** A text with what exceeds `most` characters left out: two thirds of them come from its start. */
function cut(text: string, most: number): string {
  if (text.length <= most) return text;
  const start = Math.floor((2 * most) / 3);
  return `${text.slice(0, start)}…${text.slice(text.length - (most - start - 1))}`;
}

/**
 * A message as one printable line of at most 293 characters. Of a longer one long names are cut first, then its middle:
 * its start says what is wrong, its end what to do.
 */
export function messageLine(message: string): string {
  const line = printable(message.slice(0, 100 * longest));
  if (line.length <= longest) return line;
  return cut(
    line.replace(/[^\s,()[\]]+/g, (word) => cut(word, longestWord)),
    longest,
  );
}

/** What JavaScript says where memory, or the most that an array or a text may hold, is not enough. */
const lacksMemory = /^(Array buffer allocation failed|Invalid (typed array|array buffer|array|string) length)/;

/**
 * An error whose message is one printable line of at most 293 characters: itself if it is one. Where JavaScript lacks
 * memory it says so in our own words.
 */
export function inOneLine(error: unknown): Error {
  const given = error instanceof Error ? error : new Error(String(error));
  const isFull = given instanceof RangeError && lacksMemory.test(given.message);
  const line = isFull
    ? "out of memory: a tensor is too large for this machine; bind smaller dimensions"
    : messageLine(given.message);
  return line === given.message ? given : new Error(line, { cause: given });
}
