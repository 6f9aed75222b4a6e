import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { at } from "./at.js";

/** What src/ consists of, in the order of src/README.md: a file imports from its own line and from those before it. */
const order: readonly string[] = [
  "graph/",
  "format.ts",
  "root.ts",
  "cache.ts",
  "ops/",
  "build/",
  "memory/",
  "step/",
  "plan/",
  "runtime/",
  "model/",
  "run/",
  "export/",
  "report/",
  "notebook/",
  "commands/",
  "index.ts",
  "cli.ts",
];

/** Imports that the order would allow, and the table forbids. */
const refused: readonly (readonly [from: string, to: string])[] = [
  ["runtime/", "plan/"],
  ["model/", "plan/"],
  ["plan/", "step/"],
  ["step/", "format.ts"],
  ["report/", "export/"],
];

const src = at("../src");
const files = readdirSync(src, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));

/** The line of the order that a file of src/ belongs to. */
const lineOf = (file: string): string => (file.includes(path.sep) ? `${file.split(path.sep)[0]}/` : file);

/** Every import of a file of src/ from another: static, dynamic, of types; with the names that it takes. */
function importsOf(file: string): { from: string; names: string }[] {
  const text = readFileSync(path.join(src, file), "utf8");
  const found = text.matchAll(/(?:^|\n)(?:import|export) ([^;]*?) from "(\.[^"]+)"|import\("(\.[^"]+)"\)/g);
  return [...found].map(([, names = "(all)", named, dynamic]) => ({
    from: path.join(path.dirname(file), (named ?? dynamic ?? "").replace(/\.js$/, ".ts")),
    names: names
      .replace(/[{}\n]|type /g, " ")
      .replace(/\s+/g, " ")
      .trim(),
  }));
}

test("a file of src/ imports only from its own folder and from those before it in the order", () => {
  const upward = files.flatMap((file) =>
    importsOf(file).flatMap(({ from, names }) => {
      const [here, there] = [lineOf(file), lineOf(from)];
      assert.ok(order.includes(there), `not in the order: ${there} (imported by src/${file})`);
      const isDown = order.indexOf(there) <= order.indexOf(here);
      const isRefused = refused.some(([a, z]) => a === here && z === there);
      return isDown && !isRefused ? [] : [`import upward: src/${file} takes ${names} from ${there}`];
    }),
  );
  assert.deepEqual(upward, []);
});

test("src/ holds what the order says, and nothing else", () => {
  assert.deepEqual(new Set(files.map(lineOf)), new Set(order));
});

test("src/README.md's table is the order", () => {
  const rows = [...readFileSync(path.join(src, "README.md"), "utf8").matchAll(/^\| `([^|]+?)` \|/gm)];
  const named = rows.flatMap(([, places = ""]) => places.split(/`, `/)).filter((place) => !place.endsWith(".mjs"));
  assert.deepEqual(named, order);
});
