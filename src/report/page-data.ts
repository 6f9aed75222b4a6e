import { promisify } from "node:util";
import { gunzipSync, gzip, gzipSync } from "node:zlib";

/** A list of texts in page data: numbers of a list of all texts that the page has once. */
interface Texts {
  readonly texts: unknown;
}

/** A list of whole numbers in page data: the first, then how much more each is than the one before. */
interface Deltas {
  readonly deltas: readonly number[];
}

/** Shorter lists stay as they are. */
const few = 4;

/** Ranks and live bytes change little from one to the next, or not at all. */
const deltas = (numbers: readonly number[]): Deltas => ({
  deltas: numbers.map((number, i) => number - (numbers[i - 1] ?? 0)),
});

/**
 * A value of JSON as page data: texts of lists stand once in one list, whole numbers of lists are differences, other
 * numbers have six digits, so that names that stand in many tables and charts, and digits that nobody reads, take no room.
 */
export function packed(value: unknown): { readonly texts: readonly string[]; readonly value: unknown } {
  const numbers = new Map<string, number>();
  const numberOf = (text: string): number => {
    const known = numbers.get(text);
    if (known !== undefined) return known;
    numbers.set(text, numbers.size);
    return numbers.size - 1;
  };
  const pack = (part: unknown): unknown => {
    if (typeof part === "number") return Number.isInteger(part) ? part : Number(part.toPrecision(6));
    if (Array.isArray(part)) {
      if (part.length >= few && part.every((item) => typeof item === "string"))
        return { texts: deltas(part.map(numberOf)) } satisfies Texts;
      if (part.length >= few && part.every(Number.isSafeInteger)) return deltas(part);
      return part.map(pack);
    }
    if (part === null || typeof part !== "object") return part;
    return Object.fromEntries(Object.entries(part).map(([key, inner]) => [key, pack(inner)]));
  };
  const body = pack(value);
  return { texts: [...numbers.keys()], value: body };
}

/** Longer texts are compressed with less effort: the last percent takes as long as all the rest. */
const long = 2 ** 22;

/** Text as it stands in a page: gzip, then base64. */
export const compressed = (text: string): string => gzipSync(text, effort(text)).toString("base64");

const effort = (text: string) => ({ level: text.length > long ? 6 : 9 });

/** The same by another thread, in one piece: for every further one it would wait until this thread has time. */
export const compressedBeside = async (text: string): Promise<string> => {
  const bytes = Buffer.from(text);
  const made = await promisify<Buffer, object, Buffer>(gzip)(bytes, {
    ...effort(text),
    chunkSize: bytes.length + 1024,
  });
  return made.toString("base64");
};

/** Text that was compressed for a page. */
export const decompressed = (base64: string): string => gunzipSync(Buffer.from(base64, "base64")).toString("utf8");
