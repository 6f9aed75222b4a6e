import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import { ownPath } from "../root.js";

/**
 * The path of a file that ships with mutwo's notebooks: a small model, a recording of a GPU. Throws `no demonstration
 * file …` with the names that there are.
 */
export function demoFile(name: string): string {
  const folder = ownPath("notebooks", "demo");
  const file = path.join(folder, name);
  if (path.dirname(file) === folder && existsSync(file)) return path.relative(process.cwd(), file) || file;
  throw new Error(`no demonstration file: ${name} (there are ${readdirSync(folder).sort().join(", ")})`);
}
