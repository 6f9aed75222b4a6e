import assert from "node:assert/strict";
import { type AddressInfo, createServer } from "node:net";
import { test } from "node:test";
import { isBare, launchBrowser } from "../../src/report/browser.js";

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

test("launchBrowser()'s browser reaches nothing: no name, no address, not its own machine", {
  timeout: 120_000,
}, async () => {
  let asked = 0;
  const server = createServer((socket) => {
    asked++;
    socket.destroy();
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  const browser = await launchBrowser();
  try {
    const page = await browser.newPage();
    for (const host of ["127.0.0.1", "localhost", "192.0.2.1", "[::1]", "example.com"])
      await assert.rejects(page.goto(`http://${host}:${port}/`, { timeout: 20_000 }), /net::ERR_/, host);
    // a page of its own: the error's page navigates still
    const blank = await browser.newPage();
    const inPage = async (address: string): Promise<unknown> =>
      blank.evaluate(
        `fetch(${JSON.stringify(address)}, { mode: "no-cors" }).then(() => "fetched", (error) => error.name)`,
      );
    assert.equal(await inPage(`http://127.0.0.1:${port}/`), "TypeError");
    assert.equal(asked, 0);
    // whoever is not kept from it is counted
    await assert.rejects(fetch(`http://127.0.0.1:${port}/`));
    assert.equal(asked, 1);
  } finally {
    await browser.close();
    server.close();
  }
});

test("isBare(browser) says whether the sandbox is off: as root always", { timeout: 120_000 }, async () => {
  const browser = await launchBrowser();
  try {
    assert.equal(isBare(browser), browser.process()?.spawnargs.includes("--no-sandbox"));
    if (process.getuid?.() === 0) assert.ok(isBare(browser));
  } finally {
    await browser.close();
  }
});
