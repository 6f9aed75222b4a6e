import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { cacheFolder } from "../../src/cache.js";
import { isBare, launchBrowser, unpackChromium } from "../../src/report/browser.js";
import { temporaryFolder } from "../../src/writing.js";
import { at } from "../at.js";
import { descendants, isThere } from "../processes.js";
import { tsx } from "../program.js";

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

const folder = mkdtempSync(path.join(tmpdir(), "mutwo-browser-test-"));

/** A process that unpacks the browser into a cache of its own, or holds one. */
const holder = (what: "hold" | "unpack", cache: string, temporary = folder): ChildProcess =>
  spawn(process.execPath, ["--import", "tsx", at("browser-holder.ts"), what], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, MUTWO_CACHE: cache, TMPDIR: temporary },
  });

const linux = process.platform === "linux" && process.arch === "x64";

test("a browser ends with the process that started it, even killed, and the next run removes its folder", {
  skip: !linux,
}, async () => {
  const child = holder("hold", process.env.MUTWO_CACHE ?? cacheFolder());
  const [said] = (await once(child.stdout as NodeJS.ReadableStream, "data")) as [Buffer];
  assert.equal(said.toString(), "held\n");
  const browser = descendants(child.pid as number);
  assert.ok(browser.length > 0);
  child.kill("SIGKILL");
  for (let tries = 0; tries < 100 && browser.some(isThere); tries++) await setTimeout(100);
  assert.deepEqual(browser.filter(isThere), []);
  const ofBrowser = (): string[] => readdirSync(folder).filter((name) => name.startsWith("mutwo-browser-"));
  assert.equal(ofBrowser().length, 1);
  rmSync(temporaryFolder(folder, "mutwo-browser"), { recursive: true });
  assert.deepEqual(ofBrowser(), []);
});

test("unpackChromium() of several first runs at once, after one that was killed, leaves one whole folder", {
  skip: !linux,
}, async () => {
  const cache = mkdtempSync(path.join(folder, "cache-"));
  const first = holder("unpack", cache);
  // until something of it is unpacked
  while (!readdirSync(cache).some((name) => readdirSync(path.join(cache, name)).length)) await setTimeout(20);
  first.kill("SIGKILL");
  await once(first, "exit");
  const others = [1, 2, 3].map(() => holder("unpack", cache));
  const said = await Promise.all(
    others.map(async (child) =>
      ((await once(child.stdout as NodeJS.ReadableStream, "data")) as [Buffer])[0].toString(),
    ),
  );
  assert.equal(new Set(said).size, 1);
  await Promise.all(others.map((child) => child.exitCode ?? once(child, "exit")));
  const made = (said[0] as string).trim();
  assert.deepEqual(readdirSync(cache), [path.basename(made)]);
  assert.equal(spawnSync(path.join(made, "chromium"), ["--version"], { encoding: "utf8" }).error, undefined);
  assert.deepEqual(
    ["al2023/lib", "fonts/fonts.conf"].filter((part) => !existsSync(path.join(made, part))),
    [],
  );
});

test("launchBrowser()'s browser reaches nothing: no name, no address, not its own machine", {
  timeout: 120_000,
}, async () => {
  let asked = 0;
  const server = createServer((_request, response) => response.end())
    .on("connection", () => asked++)
    .listen(0, "127.0.0.1");
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
    assert.equal((await fetch(`http://127.0.0.1:${port}/`)).status, 200);
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

// who is not root, and may read what lies here
const somebody = process.getuid?.() === 0 ? ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] : ["env"];
const [program, ...rest] = somebody as [string, ...string[]];
const canRead = linux && spawnSync(program, [...rest, "test", "-r", at("browser-holder.ts")]).status === 0;

/** A namespace of users in which no other can be made: there a sandbox cannot start. */
const withoutNamespaces = [
  ...["unshare", "--user", "--map-user=1000", "--keep-caps", "sh", "-c"],
  'echo 0 > /proc/sys/user/max_user_namespaces && ! unshare --user true 2>/dev/null && exec "$@"',
  "sh",
];
const started = (wrapper: readonly string[], ...command: string[]): { status: number | null; said: string } => {
  const home = mkdtempSync(path.join(folder, "home-"));
  chmodSync(home, 0o777);
  chmodSync(folder, 0o755);
  const { status, stdout, stderr } = spawnSync(program, [...rest, ...wrapper, process.execPath, ...command], {
    encoding: "utf8",
    timeout: 100_000,
    env: { ...process.env, HOME: home, TMPDIR: home, MUTWO_CACHE: path.join(home, "cache") },
  });
  return { status, said: stdout + stderr };
};
const show = [...tsx, at("browser-holder.ts"), "show"];

test("launchBrowser() of one who is not root is in its sandbox where one can be made", {
  skip:
    (!canRead && "others may not read this checkout") ||
    (started(["unshare", "--user"], "--version").status !== 0 && "no namespaces of users here"),
  timeout: 120_000,
}, () => {
  assert.deepEqual(started([], ...show), { status: 0, said: "in its sandbox\n" });
});

test("launchBrowser() of one who is not root does without where none can be made", {
  skip:
    (!canRead && "others may not read this checkout") ||
    (started(withoutNamespaces, "--version").status !== 0 && "no namespaces of users here"),
  timeout: 120_000,
}, () => {
  assert.deepEqual(started(withoutNamespaces, ...show), { status: 0, said: "without its sandbox\n" });
});

test("a browser that ends before it is spoken to is started once more, and no more than that", {
  skip: !linux,
}, async () => {
  const chromium = path.join(await unpackChromium(), "chromium");
  const before = process.env.CHROMIUM_PATH;
  const dying = (times: number): string => {
    const script = path.join(folder, `chromium-${times}`);
    const begun = `${script}.begun`;
    writeFileSync(
      script,
      `#!/bin/sh\necho x >> '${begun}'\n[ "$(wc -l < '${begun}')" -gt ${times} ] || exit 0\nexec '${chromium}' --headless "$@"\n`,
      { mode: 0o755 },
    );
    return script;
  };
  try {
    process.env.CHROMIUM_PATH = dying(1);
    await (await launchBrowser()).close();
    process.env.CHROMIUM_PATH = dying(9);
    await assert.rejects(launchBrowser(), /^Error: no usable browser: Protocol error .*closed/);
    assert.equal(readFileSync(`${process.env.CHROMIUM_PATH}.begun`, "utf8"), "x\nx\n");
  } finally {
    if (before === undefined) delete process.env.CHROMIUM_PATH;
    else process.env.CHROMIUM_PATH = before;
  }
});
