import assert from "node:assert/strict";
import { test } from "node:test";
import Papa from "papaparse";
import { randomFrom } from "../../src/graph/random.js";
import { csvText, parseCsvText } from "../../src/report/csv.js";

const texts = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "'=x", "''=x", "'x", "x=1", "", 'a "b", c', "a\nb"];

test("csvText(table) puts an apostrophe before a text that a spreadsheet would run; numbers stay numbers", () => {
  assert.equal(
    csvText({
      fields: ["=name", "ms"],
      columns: [
        ["=1+1", "-2", "plain"],
        [-1, 0.5, null],
      ],
    }),
    '"\'=name",ms\n"\'=1+1",-1\n"\'-2",0.5\nplain,\n',
  );
  for (const text of texts) {
    const line = csvText({ fields: ["a"], columns: [[text]] }).slice(2);
    assert.doesNotMatch(line, /^"?[=+\-@\t\r]/, JSON.stringify(text));
  }
});

test("csvText(table) writes what papaparse would, in any table", () => {
  const pieces = [...texts, " ", "'", "=", ";", "\t", "\r\n", "\uFEFF", "ä", '"'];
  const random = randomFrom(1);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  const numbers = [0, -0, 1.5e-9, 1e21, Number.NaN, Number.POSITIVE_INFINITY, true, false, null, undefined, 12n];
  const cell = (): unknown => (random() < 0.3 ? pick(numbers) : pick(pieces) + (random() < 0.5 ? pick(pieces) : ""));
  for (const delimiter of [",", ";", "\t"]) {
    const fields = ["a", " b", "=c"];
    const columns = fields.map(() => Array.from({ length: 700 }, cell));
    const data = columns[0]?.map((_, row) => columns.map((cells) => cells[row])) ?? [];
    const settings = { newline: "\n", escapeFormulae: /^'*[=+\-@\t\r]/, delimiter };
    assert.equal(csvText({ fields, columns }, { delimiter }), `${Papa.unparse({ fields, data }, settings)}\n`);
  }
});

test("parseCsvText(text) gives back what csvText wrote, by names that all objects have too", () => {
  const fields = ["__proto__", "toString", "=x"];
  const data = texts.map((text) => [text, `${text}y`, "z"]);
  const read = parseCsvText(csvText({ fields, columns: fields.map((_, i) => data.map((row) => row[i])) }));
  assert.deepEqual(read.fields, fields);
  assert.deepEqual(
    read.rows.map((row) => fields.map((name) => row.get(name))),
    data,
  );
});

test("csvText(many rows) has one header, and every row", () => {
  const ranks = Array.from({ length: 1234 }, (_, i) => i);
  const columns = [ranks, ranks.map((i) => `=${i}`)];
  const lines = csvText({ fields: ["a", "b"], columns })
    .trimEnd()
    .split("\n");
  assert.deepEqual([lines.length, lines[0], lines[1], lines.at(-1)], [1235, "a,b", `0,"'=0"`, `1233,"'=1233"`]);
  assert.equal(csvText({ fields: ["a", "b"], columns }, { header: false }).split("\n").length, 1235);
});
