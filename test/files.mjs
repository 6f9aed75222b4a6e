// Which test files the words after `npm test --` name.
import { mkdtempSync, readdirSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));

/**
 * Tests of notebooks, of the browser, of the network, of killed runs, of engines that run here, of a new user's commands and of the packed file, ONNX's own tests and
 * the fuzz test: `npm test` leaves them out, `npm test -- --all` and their names run them.
 */
const slow = [
  ...["fuzz", "notebook/kernel", "network", "notebook/notebook", "onnx-tests", "package", "page", "readme", "report/pdf"],
  ...["report/browser", "killed", "sweep/runner", "fleet"],
];

/** Tests that take longest, or start programs: each has a process of its own, and these begin first. */
const long = [
  "cli",
  "runtime/recording",
  "runtime/gpu/source/fused",
  "runtime/gpu/gpu",
  "commands/cuda-install",
  "export/export",
  "run/verify",
  "run/read-run",
  "random-graphs",
  "stdout",
  "launch",
  "golden",
];

/** Whether `npm test` leaves out a test file unless it is named. */
export const isSlow = (file) => slow.some((test) => file === path.join(here, `${test}.test.ts`));

/** Steps from one word to another, a letter inserted, removed or replaced each. */
function distance(from, to) {
  let row = Array.from({ length: to.length + 1 }, (_, i) => i);
  for (let i = 0; i < from.length; i++) {
    const next = [i + 1];
    for (let j = 0; j < to.length; j++)
      next.push(Math.min(next[j] + 1, row[j + 1] + 1, row[j] + (from[i] === to[j] ? 0 : 1)));
    row = next;
  }
  return row[to.length];
}

/** The words, and the parts of a path, that may have been meant. */
const wordsOf = (test) => [test, ...test.split("/")];

/**
 * Tests that a word names: a file of test/ or of src/, with or without folder and suffix, relative to the current
 * folder or not; a folder; a file's name or a folder's. Throws `unknown test` with the nearest names.
 */
function named(word, tests) {
  const full = path.resolve(word);
  const places = [here, path.join(path.dirname(here), "src")].map((place) => path.relative(place, full));
  const inside = places.find((place) => !place.startsWith("..") && !path.isAbsolute(place)) ?? word;
  const name = inside.replaceAll(path.sep, "/").replace(/(\.test)?\.ts$/, "").replace(/\/$/, "");
  if (name === "") return tests;
  const found = [
    tests.filter((test) => test === name),
    tests.filter((test) => test.startsWith(`${name}/`)),
    tests.filter((test) => test.endsWith(`/${name}`)),
    tests.filter((test) => test.includes(`/${name}/`)),
  ].find((list) => list.length);
  if (found) return found;
  const far = (test) => Math.min(...wordsOf(test).map((part) => distance(name, part)));
  const nearest = [...tests].sort((a, z) => far(a) - far(z)).slice(0, 3);
  throw new Error(`unknown test: ${word} (nearest: ${nearest.join(", ")})`);
}

/** Paths of the test files that words name, each once; without a word those that are not slow, or all of them. */
export function testFiles(words, all) {
  const tests = readdirSync(here, { recursive: true })
    .map((file) => file.replaceAll(path.sep, "/"))
    .filter((file) => file.endsWith(".test.ts"))
    .map((file) => file.slice(0, -".test.ts".length))
    .sort();
  const chosen = words.length
    ? new Set(words.flatMap((word) => named(word, tests)))
    : tests.filter((test) => all || !slow.includes(test));
  return [...chosen].map((test) => path.join(here, `${test}.test.ts`));
}

/**
 * The same files with those of one folder as one file, which imports them: most of a short test's time is a process that
 * loads the sources. The long ones stay by themselves. `folder` holds what was written; the caller removes it.
 */
export function inFewProcesses(files) {
  const folder = mkdtempSync(path.join(os.tmpdir(), "mutwo-tests-"));
  writeFileSync(path.join(folder, "package.json"), JSON.stringify({ type: "commonjs" }));
  const nameOf = (file) => path.relative(here, file).replaceAll(path.sep, "/").slice(0, -".test.ts".length);
  const alone = files.filter((file) => isSlow(file) || long.includes(nameOf(file)));
  const groups = new Map();
  for (const file of files) {
    if (alone.includes(file)) continue;
    const name = nameOf(file).includes("/") ? nameOf(file).split("/")[0] : "test";
    groups.set(name, [...(groups.get(name) ?? []), file]);
  }
  const together = [...groups].map(([name, members]) => {
    const file = path.join(folder, `${name}.test.ts`);
    writeFileSync(file, members.map((member) => `import ${JSON.stringify(member.replace(/\.ts$/, ".js"))};\n`).join(""));
    return file;
  });
  const rank = (file) => (long.includes(nameOf(file)) ? long.indexOf(nameOf(file)) : long.length);
  return { folder, files: [...alone.sort((a, z) => rank(a) - rank(z)), ...together] };
}
