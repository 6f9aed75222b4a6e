import assert from "node:assert/strict";
import { test } from "node:test";
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
