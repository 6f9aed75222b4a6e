// What a checkout of the repository needs before it starts: packages as the lock file says, dist/ as src/ says.
// Both are compared by content: the time of a file tells nothing after a clone, a switch of branch or a copy.
import { createHash } from "node:crypto";
import { existsSync, lstatSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";

/** Packages of a lock file by their folder. */
const packagesOf = (file) => JSON.parse(readFileSync(file, "utf8")).packages;

/** What has to be alike for two entries of lock files to be the same package; npm leaves the rest out at times. */
const identity = ({ name, version, integrity, link }) => [name, version, integrity, link].join(" ");

/** Whether node_modules/ holds what package-lock.json says, by npm's own list of what it has installed. */
function isInstalled(at) {
  const list = at("node_modules/.package-lock.json");
  if (!existsSync(list)) return false;
  const installed = packagesOf(list);
  const locked = packagesOf(at("package-lock.json"));
  const isSame = ([folder, entry]) => {
    if (folder === "") return true; // the project itself, which npm's list leaves out
    const other = installed[folder];
    return other ? identity(entry) === identity(other) : entry.optional === true; // of another platform
  };
  // what `npm install --no-save` added is called extraneous; anything else that the lock file lacks has left it
  const hasLeft = ([folder, entry]) => !locked[folder] && !entry.extraneous;
  return Object.entries(locked).every(isSame) && !Object.entries(installed).some(hasLeft);
}

/** A hash of all that dist/ follows from. */
function sourcesHash(at, sources) {
  const hash = createHash("sha256");
  const inputs = sources.map((file) => `src/${file}`);
  for (const file of [...inputs, "tsconfig.json", "tsconfig.build.json", "package-lock.json"]) {
    const bytes = readFileSync(`${at()}/${file}`);
    hash.update(`${file} ${bytes.length}\n`).update(bytes);
  }
  return hash.digest("hex");
}

const quiet = ["ignore", 2, 2];

/** Makes dist/vendor/ from packages, unless it is there. */
function takeFromPackages(at, run, fail) {
  const hash = createHash("sha256");
  for (const file of ["src/vendor.mjs", "package-lock.json"]) hash.update(readFileSync(at(file)));
  const made = hash.digest("hex");
  const stamp = at("dist/vendor/.vendored");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === made) return;
  console.error("bundling (esbuild)");
  if (run(process.execPath, [at("src/vendor.mjs")], { cwd: at(), stdio: quiet }) !== 0)
    fail("bundling failed (above is its output)");
  writeFileSync(stamp, made);
}

/**
 * Installs what package-lock.json says and bundles what is taken from it, unless that is there; `npm` is how npm is
 * started, `run` starts a program, `fail` ends with a message.
 */
export function install(at, npm, run, fail) {
  if (!isInstalled(at)) installPackages(at, npm, run, fail);
  takeFromPackages(at, run, fail);
}

function installPackages(at, npm, run, fail) {
  const modules = at("node_modules");
  if (existsSync(modules) && lstatSync(modules).isSymbolicLink())
    fail(`node_modules is a link and differs from package-lock.json: run npm ci beside ${realpathSync(modules)}`);
  console.error("installing packages (npm ci)");
  const [program, ...first] = npm;
  const status = run(program, [...first, "ci"], { cwd: at(), stdio: quiet });
  if (status !== 0) fail("npm ci failed (above is its output)");
}

/** Compiles src/ into dist/, unless it is there; takes out of dist/ what no file of src/ makes any more. */
export function build(at, run, fail) {
  const dist = at("dist");
  const stamp = at("dist/.sources");
  const sources = readdirSync(at("src"), { recursive: true }).filter((file) => /\.(ts|json)$/.test(file));
  const hash = sourcesHash(at, sources.sort());
  if (existsSync(at("dist/cli.js")) && existsSync(stamp) && readFileSync(stamp, "utf8") === hash) return;
  console.error("compiling (tsc)");
  const built = existsSync(dist) ? readdirSync(dist, { recursive: true }) : [];
  const wanted = new Set(sources.map((file) => file.replace(/\.ts$/, ".js")));
  if (![...wanted].every((file) => built.includes(file))) rmSync(at("dist/.tsbuildinfo"), { force: true }); // else tsc writes only what has changed
  const tsc = at("node_modules/typescript/bin/tsc");
  if (run(process.execPath, [tsc, "--project", at("tsconfig.build.json")], { stdio: quiet }) !== 0)
    fail("tsc failed (above is its output)");
  for (const file of built) {
    const made = file.replace(/\.(js|js\.map|d\.ts)$/, ".js");
    if (made.endsWith(".js") && !wanted.has(made)) rmSync(path.join(dist, file));
  }
  writeFileSync(stamp, hash);
}
