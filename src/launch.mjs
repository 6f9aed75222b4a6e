#!/usr/bin/env node
// Starts everything with plain Node: installs what is missing, builds what is out of date, then runs.
//   launch.mjs start | build | package | test [--all] [-t NAME] [FILE…] | test:nodes [22 24] [FILE…] | outdated | docs
//   launch.mjs bench | bench:gpu | fuzz | <any mutwo command>
import { spawnSync } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

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

/** How npm is started: as it started this, or by its name. */
const npm = /\.c?js$/.test(process.env.npm_execpath ?? "")
  ? [process.execPath, process.env.npm_execpath]
  : [process.platform === "win32" ? "npm.cmd" : "npm"];

/** Runs test files; ends in the line `N passed, M failed`. */
const runTests = (files, options, env = {}, node = process.execPath) =>
  run(
    node,
    [
      ...["--import", "tsx", "--test", "--test-concurrency=2", `--test-reporter=${at("test/reporter.mjs")}`],
      ...options,
      ...files,
    ],
    // tests that use onnxruntime-node itself are to tell nobody either
    { cwd: root, env: { ...process.env, ORT_DISABLE_TELEMETRY: "1", ...env } },
  );

/** The checks of `npm test`, cheapest first: how many failed. */
function check() {
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
  return failed;
}

/** `npm test -- [--all] [-t NAME] [FILE…]`: all checks and tests, or the tests of the named files alone. */
async function test(args, build) {
  const { inFewProcesses, isSlow, testFiles } = await import("../test/files.mjs");
  const options = { all: { type: "boolean" }, "test-name-pattern": { type: "string", short: "t", multiple: true } };
  let given;
  let files;
  try {
    given = parseArgs({ args, options, allowPositionals: true });
    files = testFiles(given.positionals, given.values.all);
  } catch (error) {
    fail(error.message.split(". ")[0]);
  }
  const patterns = (given.values["test-name-pattern"] ?? []).map((name) => `--test-name-pattern=${name}`);
  if (given.positionals.length) {
    if (files.some(isSlow)) build(); // notebooks import dist/
    return runTests(files, patterns);
  }
  build();
  const failed = check();
  if (given.values.all && process.platform === "linux" && process.arch === "x64") {
    // what is tested over stub CUDA libraries needs the real provider; without it these tests are skipped and say so
    console.log("# CUDA provider");
    run(process.execPath, [at("dist/cli.js"), "cuda", "install", "--cuda", "13"], { cwd: root });
  }
  const few = inFewProcesses(files);
  try {
    return runTests(few.files, patterns, { MUTWO_CHECKS_FAILED: String(failed), MUTWO_BUILT: "1" }) || (failed ? 1 : 0);
  } finally {
    rmSync(few.folder, { recursive: true });
  }
}

/** `npm run test:nodes -- [22 24] [FILE…]`: the tests, without the slow ones unless named, under those versions of Node. */
async function testNodes(args) {
  const { inFewProcesses, testFiles } = await import("../test/files.mjs");
  const { testNodes: testAll } = await import("./nodes.mjs");
  const isMajor = (word) => /^\d+$/.test(word);
  const majors = args.filter(isMajor);
  let few;
  try {
    const words = args.filter((word) => !isMajor(word));
    few = inFewProcesses(testFiles(words, false));
  } catch (error) {
    fail(error.message);
  }
  // programs that tests start by name are to be of that version too
  const env = (node) => ({ MUTWO_BUILT: "1", PATH: [path.dirname(node), process.env.PATH].join(path.delimiter) });
  const tests = (node) => runTests(few.files, [], env(node), node);
  try {
    return testAll(majors.length ? majors : ["22", "24"], { npm, run, fail, tests });
  } finally {
    rmSync(few.folder, { recursive: true });
  }
}

/** The API's pages from the docstrings; fails on a name of the API that has none, or a type that is not exported. */
function docs() {
  const status = run(process.execPath, [at("node_modules/typedoc/bin/typedoc"), "--logLevel", "Warn"], { cwd: root });
  if (status === 0) console.log(`docs: ${path.join("dist", "docs", "index.html")}`);
  return status;
}

const [command, ...rest] = process.argv.slice(2);
if (existsSync(at("src/cli.ts"))) {
  // a checkout of the repository, not an installed package
  const { install, build } = await import("./prepare.mjs");
  if (command === "outdated") process.exit((await import("./outdated.mjs")).outdated(at, npm));
  const buildHere = () => build(at, run, fail);
  install(at, npm, run, fail);
  if (command === "test") process.exit(await test(rest, buildHere));
  if (command === "docs") process.exit(docs());
  buildHere();
  if (command === "build") process.exit(0);
  if (command === "package") process.exit(run(npm[0], [...npm.slice(1), "pack", ...rest], { cwd: root }));
  if (command === "test:nodes") process.exit(await testNodes(rest));
}
if (command === "bench")
  process.exit(run(process.execPath, ["--import", "tsx", at("test/bench/index.ts"), ...rest], { cwd: root }));
if (command === "bench:gpu")
  process.exit(run(process.execPath, ["--import", "tsx", at("test/bench/gpu.ts"), ...rest], { cwd: root }));
if (command === "fuzz")
  process.exit(run(process.execPath, ["--import", "tsx", at("test/fuzz/index.ts"), ...rest], { cwd: root }));
if (command === "start")
  process.exit(run(process.execPath, [at("dist/cli.js"), "demo", "--out", at("reports"), ...rest]));
createRequire(import.meta.url)(at("dist/cli.js"));
