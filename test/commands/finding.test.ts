import assert from "node:assert/strict";
import { test } from "node:test";
import { finding } from "../../src/commands/finding.js";

test("finding(what, look) is what look returns, or the first line of what it throws", async () => {
  assert.deepEqual(await finding("danfo", () => "1.2.0"), { what: "danfo", works: true, detail: "1.2.0" });
  const late = await finding("browser", () => Promise.reject(new Error("no browser\n  at somewhere")));
  assert.deepEqual(late, { what: "browser", works: false, detail: "no browser" });
  const soon = await finding("GPU", () => {
    throw new Error("no GPU");
  });
  assert.deepEqual(soon, { what: "GPU", works: false, detail: "no GPU" });
});
