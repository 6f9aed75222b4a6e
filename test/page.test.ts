import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import type { Browser, Page } from "puppeteer-core";
import { launchBrowser } from "../src/report/browser.js";
import { compareHtml } from "../src/report/compare-page.js";
import { reportHtml } from "../src/report/report.js";
import { sweepHtml } from "../src/report/sweep-page.js";
import { differencesOf } from "../src/run/differences.js";
import type { Run } from "../src/run/run.js";
import { goldenRun } from "./golden-run.js";
import { planned, sweepOf, unplanned, wanted } from "./sweep-of.js";

const folder = mkdtempSync(path.join(os.tmpdir(), "mutwo-page-"));

let browser: Browser;

before(async () => {
  browser = await launchBrowser();
});

after(async () => {
  await browser.close();
  rmSync(folder, { recursive: true });
});

const point = (planner: string, budgetBytes: number | null, peakBytes: number, addedMs: number) => {
  return { planner, budgetBytes, peakBytes, addedMs, hostBytes: 0, copiesSimulated: false };
};

/** A run with all sections. */
const run: Run = {
  ...goldenRun("gpt2-h100"),
  tradeoff: [point("best", 9e5, 9e5, 0), point("best", 5e5, 5e5, 1), point("best", 3e5, 2e5, 9)],
};

/** A page as a reader opens it: from a file. What it asks for, and what goes wrong in it, is kept. */
async function opened(html: string, { width = 1440, theme = "light", hash = "" } = {}) {
  const file = path.join(folder, `${Math.random()}.html`);
  writeFileSync(file, html);
  const page = await browser.newPage();
  const problems: string[] = [];
  const requests: string[] = [];
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warn") problems.push(message.text());
  });
  page.on("request", (request) => requests.push(request.url()));
  await page.setViewport({ width, height: 900 });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: theme }]);
  await page.goto(pathToFileURL(file).href + hash);
  await page.evaluate("mutwo.gridsReady");
  return { page, problems, requests };
}

/** Goes through the page, so that all charts are drawn. */
async function seen(page: Page): Promise<void> {
  await page.evaluate(`(async () => {
    for (const chart of document.querySelectorAll(".chart")) {
      chart.scrollIntoView();
      for (let tries = 0; tries < 200 && !chart.querySelector(".main-svg"); tries++)
        await new Promise((done) => setTimeout(done, 20));
    }
    scrollTo(0, 0);
  })()`);
}

for (const theme of ["light", "dark"])
  test(`a report in ${theme} colours has no finding of axe, asks for nothing and breaks no rule of its own`, async () => {
    const { page, problems, requests } = await opened(reportHtml(run), { theme });
    await seen(page);
    const charts = await page.evaluate("document.querySelectorAll('.chart .main-svg').length > 9");
    assert.ok(charts);
    await page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })");
    // the page forbids other scripts: those of a debugger are let in
    await page.evaluate(readFileSync(require.resolve("axe-core/axe.min.js"), "utf8"));
    const findings = (await page.evaluate(
      "axe.run().then(({ violations }) => violations.map(({ id, impact, nodes }) => [impact, id, ...nodes.slice(0, 3).map((node) => node.html.slice(0, 200))].join(' ')))",
    )) as string[];
    assert.deepEqual(findings, []);
    assert.deepEqual(problems, []);
    assert.deepEqual(
      requests.filter((url) => !/^(file|data|blob):/.test(url)),
      [],
    );
  });

test("pages of a sweep and of a comparison have no finding of axe and are as wide as a phone", async () => {
  const sweep = sweepOf("page", [
    [wanted(4), unplanned(4, 4)],
    [wanted(4, "60%"), planned(1, 8)],
    [wanted(8, "60%"), planned(1, 8, false)],
    [wanted(16), { error: "out of memory", figures: {} }],
  ]);
  const other = { ...run, before: { ...run.before, arenaBytes: 1 } };
  for (const html of [sweepHtml(sweep), compareHtml(differencesOf([run, other]))]) {
    const { page, problems } = await opened(html, { width: 390 });
    await seen(page);
    assert.equal(await page.evaluate("document.documentElement.scrollWidth"), 390);
    await page.evaluate(readFileSync(require.resolve("axe-core/axe.min.js"), "utf8"));
    const findings = await page.evaluate("axe.run().then(({ violations }) => violations.map(({ id }) => id))");
    assert.deepEqual([findings, problems], [[], []]);
  }
});

test("a report at 390 pixels is as wide as the window, and no row of a table is a tower of letters", async () => {
  const { page } = await opened(reportHtml(run), { width: 390 });
  await seen(page);
  await page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })");
  assert.equal(await page.evaluate("document.documentElement.scrollWidth"), 390);
  const tallest = await page.evaluate(
    "Math.max(...[...document.querySelectorAll('tr')].map((row) => row.getBoundingClientRect().height))",
  );
  assert.ok((tallest as number) < 260, `${tallest}`);
  const height = (await page.evaluate("document.documentElement.scrollHeight")) as number;
  assert.ok(height < 36_000, `${height}`);
  await page.click("#menu");
  assert.equal(await page.evaluate("getComputedStyle(document.getElementById('contents')).display"), "block");
});

test("a report's switch changes light to dark, also where nothing can be kept", async () => {
  const { page, problems } = await opened(reportHtml(run));
  const background = () => page.evaluate("getComputedStyle(document.body).backgroundColor");
  assert.equal(await background(), "rgb(255, 255, 255)");
  await page.evaluate("Object.defineProperty(window, 'localStorage', { get() { throw new Error('none'); } })");
  await page.click("#theme");
  assert.notEqual(await background(), "rgb(255, 255, 255)");
  assert.deepEqual(problems, []);
});

test("a table of a report is sorted by keyboard, filtered by words, and copied", async () => {
  const { page } = await opened(reportHtml(run));
  const nodes = '[data-table="nodes"]';
  const first = () => page.evaluate(`document.querySelector('${nodes} tbody td').textContent`);
  const heads = `document.querySelectorAll('${nodes} thead th')`;
  assert.equal(await page.evaluate(`document.querySelector('${nodes} [aria-sort]').textContent`), "time, ms");
  await page.evaluate(`${heads}[0].querySelector("button").focus()`);
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(`${heads}[0].getAttribute("aria-sort")`), "descending");
  assert.equal(await first(), String(run.before.nodes.length - 1));
  await page.keyboard.press("Enter");
  assert.equal(await first(), "0");
  await page.type(`${nodes} input[type=search]`, "gemm backward");
  const matching = run.before.nodes.filter((row) =>
    ["gemm", "backward"].every((word) =>
      `${row.name} ${row.op} ${row.phase} ${JSON.stringify(row)}`.toLowerCase().includes(word),
    ),
  );
  const status = (await page.evaluate(`document.querySelector('${nodes} [role=status]').textContent`)) as string;
  const count = Number(/of (\d+) rows/.exec(status)?.[1]);
  assert.ok(count > 0 && count <= matching.length, status);
  await page.evaluate("mutwo.copy = async (text) => { window.copied = text; return true; }");
  await page.evaluate(`document.querySelector('${nodes} .controls button:last-child').click()`);
  const copied = (await page.evaluate("window.copied")) as string;
  assert.match(copied, /^rank,node_name,op,phase,/);
  assert.equal(copied.trim().split("\n").length, count + 1);
});

test("a link to a row shows it, whatever its name", async () => {
  const names = ["</script><b>'\"", "a b\nc", "é%E0%A4%A#&?", "x".repeat(5000)];
  const nodes = run.before.nodes.map((row, i) => ({ ...row, name: names[i] ?? row.name }));
  const html = reportHtml({ ...run, before: { ...run.before, nodes } });
  for (const name of [...names, run.before.nodes[100]?.name ?? ""]) {
    const { page, problems } = await opened(html, { hash: `#node-${encodeURIComponent(name)}` });
    await page.waitForSelector('[data-table="nodes"] .shown');
    const shown = await page.evaluate("document.querySelector('.shown').dataset.row");
    assert.equal(nodes[Number(shown)]?.name, name);
    assert.deepEqual(problems, []);
    await page.close();
  }
  const { problems } = await opened(html, { hash: "#node-%E0%A4%A" });
  assert.deepEqual(problems, []);
});

test("the list below the chart of memory says who lives at a node, and adds up to what the timeline says", async () => {
  const { page } = await opened(reportHtml(run));
  await page.evaluate("mutwo.ready");
  const rank = run.before.timeline.peakRank;
  await page.waitForSelector("#memory-controls input[type=number]");
  await page.evaluate(`document.querySelector("#memory-controls input[type=number]").value = "${rank}"`);
  await page.evaluate("document.querySelector('#memory-controls button').click()");
  const text = (await page.evaluate("document.querySelector('#residents p').textContent")) as string;
  assert.match(
    text,
    new RegExp(`while node ${rank}, .*: ${run.before.peakHolders.filter(({ bytes }) => bytes > 0).length} tensors`),
  );
  const largest = await page.evaluate("document.querySelector('#residents tbody th').title");
  assert.equal(largest, run.before.peakHolders[0]?.name);
});

test("the chart of memory along time stacks up to the total, and a click lists who lives there", async () => {
  const { page, problems } = await opened(reportHtml(run));
  await page.waitForSelector("#memory-controls input[value=time]");
  await page.click("#memory-controls input[value=time]");
  await page.evaluate("document.getElementById('memory').scrollIntoView()");
  await page.waitForSelector("[data-memory] .main-svg");
  const worst = await page.evaluate(`(() => {
    const { data, layout } = document.querySelector("[data-memory]");
    const steps = [undefined, "x2"].map((axis) => data.filter(({ xaxis }) => xaxis === axis));
    return Math.max(...steps.map((traces) => {
      const total = traces.at(-1).y;
      return Math.max(...total.map((all, i) => Math.abs(all - traces.slice(0, -1).reduce((sum, { y }) => sum + y[i], 0))));
    }));
  })()`);
  assert.ok((worst as number) < 1e-6, `${worst}`);
  const [left, top] = (await page.evaluate(`(() => {
    const { left, top, width } = document.querySelector("[data-memory] .main-svg").getBoundingClientRect();
    return [left + width / 2, top + 200];
  })()`)) as [number, number];
  await page.mouse.move(left - 5, top);
  await page.mouse.move(left, top);
  await page.waitForSelector("[data-memory] .hoverlayer .legend");
  const hover = (await page.evaluate("document.querySelector('[data-memory] .hoverlayer').textContent")) as string;
  assert.match(hover, /parameter : .*total : [\d.]+ \wi?B at /);
  await page.mouse.click(left, top);
  await page.waitForSelector("#residents:not([hidden])");
  const text = (await page.evaluate("document.querySelector('#residents p').textContent")) as string;
  assert.match(text, /^[\d.]+ \wi?B live while node \d+, /);
  assert.deepEqual(problems, []);
});
