import { createHash } from "node:crypto";
import { createReadStream, existsSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import { readText } from "../files.js";
import { number, object, problemIn, record, text, type v } from "../schema.js";

const sumSchema = object({ bytes: number, sha256: text });

/** By what a file is known. */
export type Sum = v.InferOutput<typeof sumSchema>;

/** Size in bytes and SHA-256 of a file. */
export async function sumOf(file: string): Promise<Sum> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(file, { highWaterMark: 1 << 20 }), hash);
  return { bytes: statSync(file).size, sha256: hash.digest("hex") };
}

/** Name of the file in which sums of files are noted that nobody knew before: from then on the files are held to them. */
export const sumsFile = "sha256.json";

/** Notes the sums of some files of a folder in it; says that they are not pinned, with the first one's. */
export async function noteSums(folder: string, names: readonly [string, ...string[]]): Promise<string> {
  const [first] = names;
  const sums = new Map<string, Sum>();
  for (const name of names) sums.set(name, await sumOf(path.join(folder, name)));
  writeFileSync(path.join(folder, sumsFile), `${JSON.stringify(Object.fromEntries(sums), null, 2)}\n`);
  const { bytes, sha256 } = sums.get(first) as Sum;
  return `warning: not pinned, no SHA-256 is known beforehand: ${first} has ${bytes} bytes, SHA-256 ${sha256}`;
}

/** The sums noted in a folder, by file name; none where there is no such note that can be read. */
export function notedSums(folder: string): Readonly<Record<string, Sum>> {
  const file = path.join(folder, sumsFile);
  if (!existsSync(file)) return {};
  try {
    const sums = JSON.parse(readText("sums", file));
    return problemIn(record(sumSchema), sums) === undefined ? sums : {};
  } catch {
    return {};
  }
}
