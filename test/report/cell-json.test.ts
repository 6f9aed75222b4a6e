import assert from "node:assert/strict";
import { test } from "node:test";
import { json, listJson, recordJson } from "../../src/report/cell-json.js";

const names = [
  "/layers.0/MatMul:0",
  "w",
  "",
  'a "b"',
  "a\\b",
  "a\nb",
  "\u0007",
  "ä",
  "\ud800",
  "\u2028",
  "__proto__",
  "7",
];

test("listJson(names) is what JSON.stringify makes of them; nothing of none", () => {
  for (const name of names) assert.equal(listJson([name, "x"]), JSON.stringify([name, "x"]));
  assert.equal(listJson([]), "");
});

test("recordJson(list) is what JSON.stringify makes of its entries, one or more; nothing of none", () => {
  const entry = (name: string): [string, string] => [name, `float32[2,4] ${name}`];
  for (const name of names)
    for (const list of [[name], ["x", name], ["9", name]])
      assert.equal(recordJson(list, entry), JSON.stringify(Object.fromEntries(list.map(entry))));
  assert.equal(recordJson([], entry), "");
});

test("json(record) is empty of a record without fields", () => {
  assert.deepEqual([json({}), json({ a: [1] })], ["", '{"a":[1]}']);
});
