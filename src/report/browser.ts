import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { Browser } from "puppeteer-core";
import { cacheFolder } from "../cache.js";

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

/**
 * Unpacks the Chromium that ships in @sparticuz/chromium (Linux x64) into a private folder named by its version, with
 * libraries and a font for systems that have none. The package itself would take any file of its name in the common
 * temporary folder.
 */
async function embeddedChromium(): Promise<{ executablePath: string; env: Record<string, string | undefined> }> {
  const root = path.join(path.dirname(require.resolve("@sparticuz/chromium")), "../..");
  const { version } = require(path.join(root, "package.json")) as { version: string };
  const folder = cacheFolder(`chromium-${version}`);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const before = process.env.TMPDIR;
  process.env.TMPDIR = folder;
  try {
    const { default: chromium } = await import("@sparticuz/chromium");
    const executablePath = await chromium.executablePath();
    const libraries = path.join(folder, "al2023/lib");
    if (!existsSync(libraries)) {
      const { inflate } = require(path.join(root, "build/cjs/lambdafs.cjs")) as {
        inflate(file: string): Promise<string>;
      };
      await inflate(path.join(root, "bin/al2023.tar.br"));
    }
    const fonts = path.join(folder, "fonts");
    mkdirSync(fonts, { recursive: true });
    writeFileSync(
      path.join(fonts, "fonts.conf"),
      `<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig><dir>${fonts}</dir><cachedir>${folder}/fontcache</cachedir></fontconfig>\n`,
    );
    const places = ["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib"];
    const hasLibraries = places.some((place) => existsSync(path.join(place, "libnss3.so")));
    const hasFonts = ["truetype", "opentype"].some((kind) => existsSync(`/usr/share/fonts/${kind}`));
    return {
      executablePath,
      env: {
        ...process.env,
        TMPDIR: before,
        ...(hasLibraries ? {} : { LD_LIBRARY_PATH: libraries }),
        ...(hasFonts ? {} : { FONTCONFIG_PATH: fonts }),
      },
    };
  } finally {
    if (before === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = before;
  }
}

/** Whether a browser runs without its sandbox. */
export const isBare = (browser: Browser): boolean => browser.process()?.spawnargs.includes(noSandbox) ?? false;

/**
 * Starts a browser that reaches no network: CHROMIUM_PATH, the embedded Chromium, Debian's, or an installed Chrome. In
 * its sandbox, unless it cannot start in one here. Throws `no usable browser: …`.
 */
export async function launchBrowser(): Promise<Browser> {
  try {
    // Chromium refuses to be root's in a sandbox
    if (process.getuid?.() === 0) return await launched([...flags, noSandbox]);
    return await launched(flags).catch(() => launched([...flags, noSandbox]));
  } catch (error) {
    throw new Error(`no usable browser: ${(error as Error).message.trim().split("\n")[0]} (set CHROMIUM_PATH)`, {
      cause: error,
    });
  }
}

async function launched(args: string[]): Promise<Browser> {
  const { default: puppeteer } = await import("puppeteer-core");
  const common = { args, handleSIGINT: false };
  const wanted = process.env.CHROMIUM_PATH;
  if (wanted) return await puppeteer.launch({ ...common, executablePath: wanted });
  if (process.platform === "linux" && process.arch === "x64")
    return await puppeteer.launch({ ...common, headless: "shell", ...(await embeddedChromium()) });
  const debian = "/usr/bin/chromium";
  return await puppeteer.launch(
    existsSync(debian) ? { ...common, executablePath: debian } : { ...common, channel: "chrome" },
  );
}
