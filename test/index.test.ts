import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import * as api from "../src/index.js";
import { at } from "./at.js";

test("index.ts exports what the notebooks import", () => {
  const used = readdirSync(at("../notebooks"))
    .filter((file) => file.endsWith(".ipynb"))
    .flatMap((file) => {
      const { cells } = JSON.parse(readFileSync(at("../notebooks", file), "utf8")) as { cells: { source: string[] }[] };
      const code = cells.map(({ source }) => [source].flat().join("")).join("\n");
      const imports = [...code.matchAll(/import \{([^}]*)\} from ["']mutwo["']/g)];
      return imports.flatMap(([, names = ""]) => names.split(",").map((name) => name.trim()));
    })
    .filter((name) => name !== "" && !name.startsWith("type "));
  assert.ok(used.length > 0);
  assert.deepEqual(
    used.filter((name) => !(name in api)),
    [],
  );
});

test("the five steps of the map can be called from outside", () => {
  const { readModel, trainingStep, profileGraph, planGraph, rewrite, reportHtml } = api;
  for (const step of [readModel, trainingStep, profileGraph, planGraph, rewrite, reportHtml])
    assert.equal(typeof step, "function");
});
