#!/usr/bin/env node
// Starts everything with plain Node: installs what is missing, builds what is out of date, then runs.
//   launch.mjs start | test | docs | bench | bench:gpu | <any mutwo command>
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const at = (...parts) => path.join(root, ...parts);
const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 20 || (major === 20 && minor < 19))
  fail(`mutwo needs Node 20.19 or newer, this is ${process.versions.node}`);

function fail(message) {
  console.error(`mutwo: ${message}`);
  process.exit(2);
}

function run(command, args, options = {}) {
  const { status, signal, error } = spawnSync(command, args, { stdio: "inherit", ...options });
  if (error) fail(`cannot run ${command}: ${error.message}`);
  return signal ? 130 : (status ?? 1);
}

/** Newest modification time below a folder, ms. */
function newest(folder) {
  let latest = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true }))
    if (entry.isFile())
      latest = Math.max(latest, statSync(path.join(entry.parentPath ?? entry.path, entry.name)).mtimeMs);
  return latest;
}

/** In a checkout of the repository (not in an installed package): installs and builds. */
function prepare() {
  if (!existsSync(at("src/cli.ts"))) return;
  const installed = at("node_modules/.package-lock.json");
  if (!existsSync(installed) || statSync(installed).mtimeMs < statSync(at("package-lock.json")).mtimeMs) {
    console.error("installing packages (npm ci)");
    const npm = process.env.npm_execpath;
    const status =
      npm && /\.c?js$/.test(npm)
        ? run(process.execPath, [npm, "ci"], { cwd: root, stdio: ["ignore", 2, 2] })
        : run(process.platform === "win32" ? "npm.cmd" : "npm", ["ci"], { cwd: root, stdio: ["ignore", 2, 2] });
    if (status !== 0) fail("npm ci failed (above is its output)");
  }
  const built = at("dist/cli.js");
  if (
    !existsSync(built) ||
    statSync(at("dist/.tsbuildinfo")).mtimeMs < Math.max(newest(at("src")), statSync(at("package-lock.json")).mtimeMs)
  ) {
    console.error("compiling (tsc)");
    if (
      run(process.execPath, [at("node_modules/typescript/bin/tsc"), "--project", at("tsconfig.build.json")], {
        stdio: ["ignore", 2, 2],
      }) !== 0
    )
      fail("tsc failed (above is its output)");
  }
}

/** The checks of `npm test`, cheapest first; the slow notebook and browser tests only with --all. */
function test(args) {
  const all = args.includes("--all");
  const bin = (name) => at("node_modules", name);
  const checks = [
    ["types", [bin("typescript/bin/tsc"), "--project", at("tsconfig.json")]],
    ["lint and format", [bin("@biomejs/biome/bin/biome"), "ci", "."]],
    ["unused exports", [bin("knip/bin/knip.js")]],
  ];
  let failed = 0;
  for (const [what, command] of checks) {
    console.log(`# ${what}`);
    if (run(process.execPath, command, { cwd: root }) !== 0) {
      failed++;
      console.log(`# FAILED: ${what}`);
    }
  }
  if (all && process.platform === "linux" && process.arch === "x64") {
    // what is tested over stub CUDA libraries needs the real provider; without it these tests are skipped and say so
    console.log("# CUDA provider");
    run(process.execPath, [at("dist/cli.js"), "cuda", "install", "--cuda", "13"], { cwd: root });
  }
  const slow = ["notebook/notebook", "notebook/kernel", "report/pdf"].map((name) => path.join(`${name}.test.ts`));
  const files = readdirSync(at("test"), { recursive: true })
    .filter((name) => name.endsWith(".test.ts") && (all || !slow.includes(name)))
    .map((name) => at("test", name));
  const status = run(
    process.execPath,
    ["--import", "tsx", "--test", "--test-concurrency=2", `--test-reporter=${at("test/reporter.mjs")}`, ...files],
    {
      cwd: root,
      env: { ...process.env, MUTWO_CHECKS_FAILED: String(failed) },
    },
  );
  return status || (failed ? 1 : 0);
}

/** The API's pages from the docstrings; fails on a name of the API that has none, or a type that is not exported. */
function docs() {
  const status = run(process.execPath, [at("node_modules/typedoc/bin/typedoc"), "--logLevel", "Warn"], { cwd: root });
  if (status === 0) console.log(`docs: ${path.join("dist", "docs", "index.html")}`);
  return status;
}

const [command, ...rest] = process.argv.slice(2);
prepare();
if (command === "test") process.exit(test(rest));
if (command === "docs") process.exit(docs());
if (command === "bench")
  process.exit(run(process.execPath, ["--import", "tsx", at("test/bench/index.ts"), ...rest], { cwd: root }));
if (command === "bench:gpu")
  process.exit(run(process.execPath, ["--import", "tsx", at("test/bench/gpu.ts"), ...rest], { cwd: root }));
if (command === "start")
  process.exit(
    run(process.execPath, [
      at("dist/cli.js"),
      "profile",
      at("test/fixtures/resnet18.onnx"),
      "--loss",
      "ce",
      "--optimizer",
      "sgd",
      "--dim",
      "batch=8",
      "--budget",
      "80%",
      "--out",
      at("reports"),
      ...rest,
    ]),
  );
createRequire(import.meta.url)(at("dist/cli.js"));
