import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { ownPath, ownVersion } from "../src/root.js";
import { at } from "./at.js";

test("ownPath(…parts) is beside src/, ownVersion() that of package.json", () => {
  assert.equal(ownPath("templates", "report.css"), at("../templates/report.css"));
  assert.equal(ownVersion(), JSON.parse(readFileSync(at("../package.json"), "utf8")).version);
});
