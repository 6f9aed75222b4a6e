import assert from "node:assert/strict";
import { test } from "node:test";
import { Broken, finding } from "../../src/commands/finding.js";

test("finding(what, look) is what look returns, or the first line of what it throws", async () => {
  assert.deepEqual(await finding("danfo", () => "1.2.0"), { what: "danfo", works: true, detail: "1.2.0" });
  const late = await finding("browser", () => Promise.reject(new Error("no browser\n  at somewhere")));
  assert.deepEqual(late, { what: "browser", works: false, detail: "no browser" });
  const soon = await finding("GPU", () => {
    throw new Error("no GPU");
  });
  assert.deepEqual(soon, { what: "GPU", works: false, detail: "no GPU" });
});

test("finding(what, look, mend) says what mends it only where it does not work; look knows better", async () => {
  assert.deepEqual(await finding("danfo", () => "1", "npm ci"), { what: "danfo", works: true, detail: "1" });
  const fails = (error: Error) => (): string => {
    throw error;
  };
  const row = { what: "danfo", works: false, detail: "gone" };
  assert.deepEqual(await finding("danfo", fails(new Error("gone")), "npm ci"), { ...row, mend: "npm ci" });
  assert.deepEqual(await finding("danfo", fails(new Broken("gone", "apt")), "npm ci"), { ...row, mend: "apt" });
});
