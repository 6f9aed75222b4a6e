import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import { inChildren } from "../children.js";
import type { CaseVerdict, Verdict } from "./child.js";

/** Where Debian's libonnx-testdata puts ONNX's backend tests. */
const debian = "/usr/share/libonnx-testdata/data";

/** Folder of ONNX's backend tests: `ONNX_TESTS`, or Debian's; undefined if it is not there. */
export const casesFolder = [process.env.ONNX_TESTS, debian].find((folder) => folder && existsSync(folder));

/** Paths of the cases below a folder, relative to it. */
export const casesIn = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((file) => path.basename(file) === "model.onnx")
    .map((file) => path.dirname(file))
    .sort();

/** Longest time for one case, ms. */
const limitMs = 60_000;

/** Runs cases in child processes. */
export async function runCases(folder: string, names: readonly string[]): Promise<Map<string, CaseVerdict>> {
  const verdicts = new Map<string, CaseVerdict>();
  const tasks = names.map((name) => ({ name, folder: path.join(folder, name) }));
  await inChildren<(typeof tasks)[number], CaseVerdict>("onnx/child.ts", tasks, { limitMs }, ({ name }, outcome) => {
    const crashed = (why: string): CaseVerdict => {
      const verdict: Verdict = { kind: "crashed", why };
      return { forward: verdict, gradient: { kind: "none", why: "crashed" } };
    };
    const { kind } = outcome;
    if (kind === "answer") verdicts.set(name, outcome.value);
    else verdicts.set(name, crashed(kind === "late" ? `over ${limitMs / 1000} s` : outcome.how));
  });
  return new Map([...verdicts].sort(([a], [z]) => (a < z ? -1 : 1)));
}
