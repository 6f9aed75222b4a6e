import assert from "node:assert/strict";
import { test } from "node:test";
import { csvText, parseCsvText } from "../../src/report/csv.js";

const texts = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "'=x", "''=x", "'x", "x=1", "", 'a "b", c', "a\nb"];

test("csvText(table) puts an apostrophe before a text that a spreadsheet would run; numbers stay numbers", () => {
  assert.equal(
    csvText({
      fields: ["=name", "ms"],
      data: [
        ["=1+1", -1],
        ["-2", 0.5],
        ["plain", null],
      ],
    }),
    '"\'=name",ms\n"\'=1+1",-1\n"\'-2",0.5\nplain,\n',
  );
  for (const text of texts) {
    const line = csvText({ fields: ["a"], data: [[text]] }).slice(2);
    assert.doesNotMatch(line, /^"?[=+\-@\t\r]/, JSON.stringify(text));
  }
});

test("parseCsvText(text) gives back what csvText wrote, by names that all objects have too", () => {
  const fields = ["__proto__", "toString", "=x"];
  const data = texts.map((text) => [text, `${text}y`, "z"]);
  const read = parseCsvText(csvText({ fields, data }));
  assert.deepEqual(read.fields, fields);
  assert.deepEqual(
    read.rows.map((row) => fields.map((name) => row.get(name))),
    data,
  );
});
