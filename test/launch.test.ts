import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { at } from "./at.js";

// a checkout of a program as small as can be, whose npm and tsc only say that they ran

const place = mkdtempSync(path.join(tmpdir(), "mutwo-launch-"));
after(() => rmSync(place, { recursive: true }));

const inPlace = (...parts: string[]): string => path.join(place, ...parts);

function put(file: string, text: string): void {
  mkdirSync(path.dirname(inPlace(file)), { recursive: true });
  writeFileSync(inPlace(file), text);
}

const packages = {
  "": { name: "small", version: "1.0.0" },
  "node_modules/a": { version: "1.0.0", integrity: "sha512-a" },
  "node_modules/b": { version: "2.0.0", integrity: "sha512-b", dev: true },
  "node_modules/for-windows": { version: "1.0.0", integrity: "sha512-w", optional: true, os: ["win32"] },
};

const lock = (list: object): string => JSON.stringify({ lockfileVersion: 3, packages: list });

/** What npm writes when it has installed a lock file on a machine that is not Windows. */
const npm = `
const { mkdirSync, readFileSync, writeFileSync } = require("node:fs");
const { packages } = JSON.parse(readFileSync("package-lock.json", "utf8"));
const { "": own, "node_modules/for-windows": windows, ...list } = packages;
mkdirSync("node_modules", { recursive: true });
writeFileSync("node_modules/.package-lock.json", JSON.stringify({ packages: list }));
`;

const tsc = `
const { mkdirSync, readdirSync, writeFileSync } = require("node:fs");
for (const file of readdirSync("src").filter((name) => name.endsWith(".ts"))) {
  mkdirSync("dist", { recursive: true });
  for (const suffix of ["js", "js.map", "d.ts"])
    writeFileSync("dist/" + file.replace("ts", suffix), suffix === "js" ? "console.log('cli runs');" : "");
}
`;

for (const file of ["src/launch.mjs", "src/prepare.mjs", "test/files.mjs", "test/reporter.mjs"]) {
  mkdirSync(path.dirname(inPlace(file)), { recursive: true });
  copyFileSync(at("..", file), inPlace(file));
}
put("npm.cjs", npm);
put("package-lock.json", lock(packages));
put("tsconfig.json", "{}");
put("tsconfig.build.json", "{}");
put("src/cli.ts", "one");
put("src/other.ts", "one");
put("node_modules/typescript/bin/tsc", tsc);
put("src/vendor.mjs", 'import { mkdirSync } from "node:fs";\nmkdirSync("dist/vendor", { recursive: true });\n');
symlinkSync(at("../node_modules/tsx"), inPlace("node_modules/tsx"));

function launch(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const env = { ...process.env, npm_execpath: inPlace("npm.cjs"), NODE_TEST_CONTEXT: undefined };
  const options = { cwd: place, encoding: "utf8", env } as const;
  const { status, stdout, stderr } = spawnSync(process.execPath, [inPlace("src/launch.mjs"), ...args], options);
  return { status, stdout, stderr };
}

const prepares = (): string[] => {
  const { status, stdout, stderr } = launch("anything");
  assert.deepEqual([status, stdout], [0, "cli runs\n"], stderr);
  return stderr.split("\n").filter(Boolean);
};

const installs = "installing packages (npm ci)";
const bundles = "bundling (esbuild)";
const compiles = "compiling (tsc)";

test("launch.mjs installs and compiles in a fresh clone, and once only", () => {
  assert.deepEqual(prepares(), [installs, bundles, compiles]);
  assert.deepEqual(prepares(), []);
});

test("launch.mjs installs again when package-lock.json says something else, not when only its time is another", () => {
  const later = new Date(Date.now() + 60_000);
  for (const file of ["package-lock.json", "src/cli.ts", "src/other.ts"]) utimesSync(inPlace(file), later, later);
  assert.deepEqual(prepares(), []);
  const newer = { ...packages, "node_modules/a": { version: "1.0.1", integrity: "sha512-a1" } };
  put("package-lock.json", lock(newer));
  utimesSync(inPlace("package-lock.json"), new Date(0), new Date(0));
  assert.deepEqual(prepares(), [installs, bundles, compiles]);
  const { "node_modules/b": _, ...fewer } = newer;
  put("package-lock.json", lock(fewer));
  assert.deepEqual(prepares(), [installs, bundles, compiles]);
  const list = inPlace("node_modules/.package-lock.json");
  const tried = { "node_modules/a": newer["node_modules/a"], "node_modules/x": { version: "1.0.0", extraneous: true } };
  writeFileSync(list, JSON.stringify({ packages: tried }));
  assert.deepEqual(prepares(), []);
});

test("launch.mjs does not install through a link into a folder that others share", () => {
  renameSync(inPlace("node_modules"), inPlace("shared"));
  symlinkSync(inPlace("shared"), inPlace("node_modules"));
  assert.deepEqual(prepares(), []);
  put("package-lock.json", lock(packages));
  const { status, stderr } = launch("anything");
  assert.equal(status, 2);
  assert.match(
    stderr,
    /^mutwo: node_modules is a link and differs from package-lock\.json: run npm ci beside \S+shared$/m,
  );
  rmSync(inPlace("node_modules"));
  renameSync(inPlace("shared"), inPlace("node_modules"));
  assert.deepEqual(prepares(), [installs, bundles, compiles]);
});

test("launch.mjs compiles again when a source has other contents, and takes the outputs of removed sources away", () => {
  put("src/other.ts", "two");
  utimesSync(inPlace("src/other.ts"), new Date(0), new Date(0));
  assert.deepEqual(prepares(), [compiles]);
  renameSync(inPlace("src/other.ts"), inPlace("src/moved.ts"));
  assert.deepEqual(prepares(), [compiles]);
  const outputs = (name: string) => ["d.ts", "js", "js.map"].map((suffix) => `${name}.${suffix}`);
  assert.deepEqual(readdirSync(inPlace("dist")).sort(), [".sources", ...outputs("cli"), ...outputs("moved"), "vendor"]);
});

test("launch.mjs test FILE runs that file's tests alone, -t NAME those of that name; an unknown FILE is one line and exit status 2", () => {
  const body = (name: string) =>
    `import { test } from "node:test";\ntest("${name} adds", () => {});\ntest("${name} fails", () => { throw new Error("no"); });\n`;
  for (const name of ["memory/layout", "memory/liveness", "notebook/kernel", "top"])
    put(`test/${name}.test.ts`, body(name));
  const ran = (...args: string[]) => {
    const { status, stdout, stderr } = launch("test", ...args);
    const failed = [...stdout.matchAll(/^FAILED: (.*) fails$/gm)].map(([, name]) => name);
    const last = stdout.trimEnd().split("\n").at(-1);
    return [status, failed, last ?? "", stderr];
  };
  const layout = [1, ["memory/layout"], "1 passed, 1 failed", ""];
  assert.deepEqual(ran("layout", "memory/layout", "test/memory/layout.test.ts", "src/memory/layout.ts"), layout);
  const [status, failed, last] = ran("memory/", "top");
  assert.deepEqual([status, failed, last], [1, ["memory/layout", "memory/liveness", "top"], "3 passed, 3 failed"]);
  assert.deepEqual(ran("top", "-t", "adds"), [0, [], "1 passed, 0 failed", ""]);
  assert.deepEqual(ran("top", "-t", "multiplies"), [2, [], "0 passed, 0 failed", ""]);
  assert.deepEqual(ran("kernel").slice(0, 3), [1, ["notebook/kernel"], "1 passed, 1 failed"]);
  const unknown = launch("test", "layuot");
  assert.deepEqual([unknown.status, unknown.stdout], [2, ""]);
  assert.match(unknown.stderr, /^mutwo: unknown test: layuot \(nearest: memory\/layout, .*\)\n$/);
});

test("every file that package.json publishes is there, launch.mjs among them", () => {
  const { files } = JSON.parse(readFileSync(at("../package.json"), "utf8")) as { files: string[] };
  assert.ok(files.includes("src/launch.mjs"));
  assert.deepEqual(
    files.filter((file) => !/^!?dist\b/.test(file) && !existsSync(at("..", file))),
    [],
  );
});
