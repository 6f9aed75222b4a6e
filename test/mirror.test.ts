import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import ts from "typescript";
import { at } from "./at.js";

/** A file whose functions and classes hold more statements than this holds logic, and has a test of its own. */
const most = 5;

/** Files that a test of another name covers. */
const elsewhere: readonly { why: string; covers: (file: string, text: string) => boolean }[] = [
  {
    why: "each op of a table is a sample of the loops in test/ops/index.test.ts",
    covers: (file, text) => file.startsWith("ops/") && /^export const .*: OpTable =/m.test(text),
  },
  {
    why: "a command is tested as a program, by test/cli.test.ts",
    covers: (file, text) => file.startsWith("commands/") && /^export const \w+Command = /m.test(text),
  },
];

/** Files without a test of their own, each with the reason. */
const exempt: Readonly<Record<string, string>> = {
  "runtime/gpu/compiler.ts": "calls of C libraries; test/runtime/gpu/gpu.test.ts makes them over stub libraries",
  "runtime/gpu/cuda-calls.ts": "calls of a C library; test/runtime/gpu/gpu.test.ts makes them over stub libraries",
  "runtime/gpu/cuda.ts": "calls of a C library; test/runtime/gpu/gpu.test.ts makes them over stub libraries",
  "runtime/gpu/cudnn.ts": "calls of a C library; test/runtime/gpu/gpu.test.ts makes them over stub libraries",
  "runtime/gpu/nvrtc.ts": "calls of a C library; test/runtime/gpu/gpu.test.ts makes them over stub libraries",
  "runtime/gpu/nvml.ts": "calls of a C library that is where a GPU is",
  "run/build-step.ts": "test/run/pipeline.test.ts builds steps",
  "run/profile-built.ts": "test/run/pipeline.test.ts profiles them",
  "run/same-as-alone.ts": "test/run/profile-many.test.ts compares models with themselves alone",
  "report/browser.ts": "finds and starts a browser; test/report/pdf.test.ts does it",
};

const below = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: "utf8" }).map((file) => file.replaceAll(path.sep, "/"));

const sources = below(at("../src")).filter((file) => file.endsWith(".ts"));
const tests = below(at()).filter((file) => file.endsWith(".test.ts"));

/** Statements inside the functions and classes of a file, an arrow function's expression among them. */
function statements(file: string, text: string): number {
  let count = 0;
  const visit = (node: ts.Node, inside: boolean): void => {
    if (inside && ts.isStatement(node) && !ts.isBlock(node)) count++;
    if (ts.isArrowFunction(node) && !ts.isBlock(node.body)) count++;
    const within = inside || ts.isFunctionLike(node);
    ts.forEachChild(node, (child) => visit(child, within));
  };
  visit(ts.createSourceFile(file, text, ts.ScriptTarget.ES2022), false);
  return count;
}

test("each file of src/ that holds logic has its test under the same path in test/", () => {
  const missing = sources.flatMap((file) => {
    const text = readFileSync(at("../src", file), "utf8");
    if (file in exempt || elsewhere.some(({ covers }) => covers(file, text))) return [];
    const wanted = file.replace(/\.ts$/, ".test.ts");
    return tests.includes(wanted) || statements(file, text) <= most ? [] : [`no test/${wanted} for src/${file}`];
  });
  assert.ok(missing.length === 0, missing.join("\n"));
});

test("each test in a folder of test/ is that of a file of src/", () => {
  const lost = tests.filter((file) => file.includes("/") && !sources.includes(file.replace(/\.test\.ts$/, ".ts")));
  assert.ok(lost.length === 0, lost.join("\n"));
});

test("files without a test of their own are few, and there", () => {
  const names = Object.keys(exempt);
  assert.ok(names.length <= 10, `${names.length} files are exempt`);
  assert.deepEqual(
    names,
    names.filter((file) => sources.includes(file)),
  );
});
