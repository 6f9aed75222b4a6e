import { existsSync, readdirSync, statSync } from "node:fs";
import path from "node:path";

/** Where runs lie if nothing else is said. */
export const reportsFolder = "reports";

/** The run.json files right in a folder of runs, the newest first: by the time in the run's name, else by the file's. */
export function runsIn(folder: string): string[] {
  let names: readonly string[];
  try {
    names = readdirSync(folder);
  } catch {
    return [];
  }
  const found = names.flatMap((name) => {
    const file = path.join(folder, name, "run.json");
    const stat = existsSync(file) ? statSync(file) : undefined;
    if (!stat?.isFile()) return [];
    const changed = stat.mtime.toISOString().replace(/[-:]/g, "").replace("T", "-").slice(0, 15);
    return [{ file, stamp: /^\d{8}-\d{6}/.exec(name)?.[0] ?? changed, changedMs: stat.mtimeMs }];
  });
  return found
    .sort((a, z) => (a.stamp === z.stamp ? z.changedMs - a.changedMs : a.stamp < z.stamp ? 1 : -1))
    .map(({ file }) => file);
}

/**
 * The run that is meant: the one that is given, else the newest in ./reports, which is then said on stderr. Throws
 * `no run: …` if there is none.
 */
export function givenOrNewest(given: string | undefined): string {
  return given ?? (newestRuns(1)[0] as string);
}

/** The newest runs in ./reports, said on stderr. Throws `no run: …` if there are fewer. */
export function newestRuns(count: number): string[] {
  const found = runsIn(reportsFolder).slice(0, count);
  if (found.length < count)
    throw new Error(
      `${found.length ? "only one" : "no"} run: ${path.join(reportsFolder, "*", "run.json")} (name a run, or make one: mutwo profile MODEL.onnx --loss ce --optimizer adam)`,
    );
  for (const file of found) process.stderr.write(`run: ${file} (the newest in ${reportsFolder})\n`);
  return found;
}
