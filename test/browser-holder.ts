import { isBare, launchBrowser, unpackChromium } from "../src/report/browser.js";

/** Started by tests in a process of its own: unpacks the browser, starts it and says whether it is in its sandbox, or
 * holds it until this is killed. */
async function main(what: string | undefined): Promise<void> {
  if (what === "unpack") {
    process.stdout.write(`${await unpackChromium()}\n`);
    return;
  }
  const browser = await launchBrowser();
  const page = await browser.newPage();
  await page.setContent("<p>held</p>");
  if (what === "show") {
    process.stdout.write(isBare(browser) ? "without its sandbox\n" : "in its sandbox\n");
    await browser.close();
    return;
  }
  process.stdout.write("held\n");
  setInterval(() => {}, 1000);
}

void main(process.argv[2]);
