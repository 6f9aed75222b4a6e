// Prints which direct dependencies are behind, and which packages of the lock file are deprecated, as npm knows it.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";

/** What stays behind, and why. */
const held = {
  "@types/node": "20.19 is the oldest Node that mutwo runs on, and its types are the ones to keep to",
  "onnxruntime-node": "no npm package has the CUDA provider of a newer ONNX Runtime yet (src/commands/cuda-install.ts)",
  typescript: "typedoc reads TypeScript's syntax tree through an interface that 7 no longer has",
};

/** Rows `name, installed, newest, why it stays`, from what `npm outdated --json` prints. */
export const behind = (json, reasons = held) =>
  Object.entries(JSON.parse(json || "{}")).map(([name, { current, latest }]) => ({
    name,
    current: current ?? "not installed",
    latest,
    why: reasons[name] ?? "",
  }));

/** Packages that a lock file calls deprecated: their folder, version and what is said of them. */
export const deprecated = (lock) =>
  Object.entries(lock.packages)
    .filter(([, entry]) => entry.deprecated)
    .map(([folder, entry]) => `${folder.replace(/^.*node_modules\//, "")} ${entry.version}: ${entry.deprecated}`);

/** The rows as lines of a table. */
export function table(rows) {
  const width = (key) => Math.max(...rows.map((row) => row[key].length));
  return rows
    .map((row) =>
      `${row.name.padEnd(width("name"))}  ${row.current.padEnd(width("current"))} → ${row.latest.padEnd(width("latest"))}  ${row.why}`.trimEnd(),
    )
    .join("\n");
}

/** `npm run outdated`: exit status 1 if something is behind for no reason, or deprecated; 2 if npm cannot tell. */
export function outdated(at, npm) {
  const [program, ...first] = npm;
  const { stdout, stderr, error } = spawnSync(program, [...first, "outdated", "--json"], {
    cwd: at(),
    encoding: "utf8",
  });
  let rows;
  try {
    rows = behind(stdout);
    if (rows.some(({ latest }) => typeof latest !== "string")) throw new Error(JSON.parse(stdout).error?.summary);
  } catch (fault) {
    console.error(
      `mutwo: npm does not say what is outdated: ${error?.message ?? (stderr.split("\n")[0] || fault.message)}`,
    );
    return 2;
  }
  const old = deprecated(JSON.parse(readFileSync(at("package-lock.json"), "utf8")));
  console.log(rows.length ? table(rows) : "every direct dependency is the newest that this Node can run");
  for (const line of old) console.log(`deprecated: ${line}`);
  return old.length || rows.some(({ why }) => !why) ? 1 : 0;
}
