import { launchBrowser, unpackChromium } from "../src/report/browser.js";

/** Started by tests in a process of its own: unpacks the browser, or starts it and holds it until this is killed. */
async function main(what: string | undefined): Promise<void> {
  if (what === "unpack") {
    process.stdout.write(`${await unpackChromium()}\n`);
    return;
  }
  const browser = await launchBrowser();
  const page = await browser.newPage();
  await page.setContent("<p>held</p>");
  process.stdout.write("held\n");
  setInterval(() => {}, 1000);
}

void main(process.argv[2]);
