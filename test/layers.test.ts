import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { at } from "./at.js";

const src = at("../src");
const files = readdirSync(src, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));

/** The line of the order that a file of src/ belongs to. */
const lineOf = (file: string): string => (file.includes(path.sep) ? `${file.split(path.sep)[0]}/` : file);

/** A row of src/README.md's table: the places that it is about, and what a file there may import besides its own place. */
interface Row {
  readonly places: readonly string[];
  readonly values: ReadonlySet<string>;
  /** Places of which `values` allows types only. */
  readonly typesOnly: ReadonlySet<string>;
}

/** The table's rows; launch.mjs and prepare.mjs, which import nothing of src/, are left out. */
function tableRows(): Row[] {
  const rows: Row[] = [];
  const text = readFileSync(path.join(src, "README.md"), "utf8");
  for (const [, first = "", third = ""] of text.matchAll(/^\| (`[^|]+`) \|[^|]*\| ([^|]*) \|$/gm)) {
    const places = [...first.matchAll(/`([^`]+)`/g)].map(([, place = ""]) => place);
    rows.push({ places: places.filter((place) => !place.endsWith(".mjs")), ...allowed(third, rows) });
  }
  return rows;
}

/** What a cell of the third column allows. What stands in parentheses is a remark, but for `(of … types only)`. */
function allowed(cell: string, above: readonly Row[]): Omit<Row, "places"> {
  const all = above.flatMap(({ places }) => places);
  const placesOf = (words: string): string[] => {
    if (words === "nothing") return [];
    if (words === "all above") return all;
    const [, name, more] = /^(\w+)\/?( and above)?$/.exec(words) ?? [];
    const place = all.find((known) => known === `${name}/` || known === `${name}.ts`);
    assert.ok(place, `src/README.md's table: "${words}" is nothing that stands above, in "${cell}"`);
    return more ? all.slice(0, all.indexOf(place) + 1) : [place];
  };
  const types = /\(of (.*?) types only\)/.exec(cell)?.[1]?.split(" and ") ?? [];
  const words = cell.replace(/ \(.*?\)/g, "").split(", ");
  return { values: new Set(words.flatMap(placesOf)), typesOnly: new Set(types.flatMap(placesOf)) };
}

const rows = tableRows();

/** Every import of a file of src/ from another: static, dynamic, of types; with the names that it takes. */
function importsOf(file: string): { from: string; names: string; isType: boolean }[] {
  const text = readFileSync(path.join(src, file), "utf8");
  const found = text.matchAll(/(?:^|\n)(?:import|export) ([^;]*?) from "(\.[^"]+)"|(typeof )?import\("(\.[^"]+)"\)/g);
  return [...found].map(([, names = "(all)", named, typeOf, dynamic]) => ({
    from: path.join(path.dirname(file), (named ?? dynamic ?? "").replace(/\.js$/, ".ts")),
    names: names
      .replace(/[{}\n]|type /g, " ")
      .replace(/\s+/g, " ")
      .trim(),
    isType: names.startsWith("type ") || typeOf !== undefined,
  }));
}

test("a file of src/ imports only from its own folder and from what src/README.md's table names", () => {
  const upward = files.flatMap((file) =>
    importsOf(file).flatMap(({ from, names, isType }) => {
      const [here, there] = [lineOf(file), lineOf(from)];
      const { values, typesOnly } =
        rows.find((row) => row.places.includes(here)) ?? assert.fail(`not in src/README.md's table: ${here}`);
      const isAllowed = here === there || (values.has(there) && (isType || !typesOnly.has(there)));
      const onlyTypes = typesOnly.has(there) ? " (types only)" : "";
      return isAllowed ? [] : [`import upward: src/${file} takes ${names} from ${there}${onlyTypes}`];
    }),
  );
  assert.deepEqual(upward, []);
});

test("src/ holds what the table says, and nothing else", () => {
  assert.deepEqual(new Set(files.map(lineOf)), new Set(rows.flatMap(({ places }) => places)));
});
