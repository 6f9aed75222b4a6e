import assert from "node:assert/strict";
import { test } from "node:test";
import { launchBrowser } from "../../src/report/browser.js";

test("launchBrowser() starts CHROMIUM_PATH if that is set, and says in one line why it cannot", async () => {
  const before = process.env.CHROMIUM_PATH;
  process.env.CHROMIUM_PATH = "/nonexistent/chromium";
  try {
    await assert.rejects(launchBrowser(), (error: Error) => {
      assert.match(error.message, /^no usable browser: [^\n]*\/nonexistent\/chromium[^\n]* \(set CHROMIUM_PATH\)$/);
      assert.ok(error.cause);
      return true;
    });
  } finally {
    if (before === undefined) delete process.env.CHROMIUM_PATH;
    else process.env.CHROMIUM_PATH = before;
  }
});
