import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Browser, LaunchOptions, PuppeteerNode } from "puppeteer-core";
import { cacheFolder } from "../cache.js";
import { temporaryFolder } from "../writing.js";

/** Takes the browser's sandbox away. */
const noSandbox = "--no-sandbox";

const flags = [
  // no network at all: every name and address is unknown, the proxy's too, and nothing goes past it
  "--host-resolver-rules=MAP * ~NOTFOUND",
  "--proxy-server=nowhere.invalid:9",
  "--proxy-bypass-list=<-loopback>",
  "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-dev-shm-usage",
  "--font-render-hinting=none",
];

/** Where the package of the embedded Chromium lies, and its version. */
function embeddedPackage(): { root: string; version: string } {
  const root = path.join(path.dirname(require.resolve("@sparticuz/chromium")), "../..");
  return { root, ...(require(path.join(root, "package.json")) as { version: string }) };
}

/**
 * Unpacks the Chromium that ships in @sparticuz/chromium (Linux x64), with libraries and a font for systems that have
 * none, into a private folder named by its version: beside it first, so that the folder is whole or not there, however
 * many begin at once or are killed. The package itself would take any file of its name in the common temporary folder.
 */
export async function unpackChromium(): Promise<string> {
  const { root, version } = embeddedPackage();
  const folder = cacheFolder(`browser-${version}`);
  if (existsSync(folder)) return folder;
  mkdirSync(path.dirname(folder), { recursive: true, mode: 0o700 });
  const temporary = temporaryFolder(path.dirname(folder));
  const before = process.env.TMPDIR;
  process.env.TMPDIR = temporary;
  try {
    const { default: chromium } = await import("@sparticuz/chromium");
    await chromium.executablePath();
    const { inflate } = require(path.join(root, "build/cjs/lambdafs.cjs")) as {
      inflate(file: string): Promise<string>;
    };
    await inflate(path.join(root, "bin/al2023.tar.br"));
    const fonts = path.join(folder, "fonts");
    mkdirSync(path.join(temporary, "fonts"), { recursive: true });
    writeFileSync(
      path.join(temporary, "fonts", "fonts.conf"),
      `<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig><dir>${fonts}</dir><cachedir>${folder}/fontcache</cachedir></fontconfig>\n`,
    );
    renameSync(temporary, folder);
  } catch (error) {
    // another run was faster
    if (!existsSync(folder)) throw error;
  } finally {
    rmSync(temporary, { recursive: true, force: true });
    if (before === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = before;
  }
  return folder;
}

async function embeddedChromium(): Promise<{ executablePath: string; env: Record<string, string | undefined> }> {
  const folder = await unpackChromium();
  const places = ["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib"];
  const hasLibraries = places.some((place) => existsSync(path.join(place, "libnss3.so")));
  const hasFonts = ["truetype", "opentype"].some((kind) => existsSync(`/usr/share/fonts/${kind}`));
  return {
    executablePath: path.join(folder, "chromium"),
    env: {
      ...process.env,
      ...(hasLibraries ? {} : { LD_LIBRARY_PATH: path.join(folder, "al2023/lib") }),
      ...(hasFonts ? {} : { FONTCONFIG_PATH: path.join(folder, "fonts") }),
    },
  };
}

/** Whether a browser runs without its sandbox. */
export const isBare = (browser: Browser): boolean => browser.process()?.spawnargs.includes(noSandbox) ?? false;

/**
 * Starts a browser that reaches no network: CHROMIUM_PATH, the embedded Chromium, Debian's, or an installed Chrome. In
 * its sandbox, unless it cannot start in one here. It is spoken to through a pipe, whose end is its end too, even where
 * this process is killed. Throws `no usable browser: …`.
 */
export async function launchBrowser(): Promise<Browser> {
  const { default: puppeteer } = await import("puppeteer-core");
  const userDataDir = temporaryFolder(tmpdir(), "mutwo-browser");
  const removeData = (): void => {
    process.removeListener("exit", removeData);
    try {
      rmSync(userDataDir, { recursive: true, force: true });
    } catch {} // the browser still writes: the next run removes it
  };
  process.once("exit", removeData);
  const startOnce = (args: string[]): Promise<Browser> =>
    launched(puppeteer, { args, handleSIGINT: false, pipe: true, userDataDir });
  // on a busy machine one that has begun may end before it is spoken to
  const start = (args: string[]): Promise<Browser> =>
    startOnce(args).catch((error: Error) => {
      if (!/^Protocol error .*closed/.test(error.message)) throw error;
      return startOnce(args);
    });
  const bare = [...flags, noSandbox];
  try {
    // Chromium refuses to be root's in a sandbox
    const browser = await (process.getuid?.() === 0 ? start(bare) : start(flags).catch(() => start(bare)));
    browser.process()?.once("exit", removeData);
    return browser;
  } catch (error) {
    removeData();
    throw new Error(`no usable browser: ${(error as Error).message.trim().split("\n")[0]} (set CHROMIUM_PATH)`, {
      cause: error,
    });
  }
}

async function launched(puppeteer: Pick<PuppeteerNode, "launch">, common: LaunchOptions): Promise<Browser> {
  const wanted = process.env.CHROMIUM_PATH;
  if (wanted) return await puppeteer.launch({ ...common, executablePath: wanted });
  if (process.platform === "linux" && process.arch === "x64")
    return await puppeteer.launch({ ...common, headless: "shell", ...(await embeddedChromium()) });
  const debian = "/usr/bin/chromium";
  return await puppeteer.launch(
    existsSync(debian) ? { ...common, executablePath: debian } : { ...common, channel: "chrome" },
  );
}
