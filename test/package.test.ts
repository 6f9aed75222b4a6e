import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { at } from "./at.js";

// what npm packs, installed in empty projects as a user does: nothing of this checkout is used there but the compiler

const place = mkdtempSync(path.join(tmpdir(), "mutwo-package-"));
after(() => rmSync(place, { recursive: true }));

const npmScript = process.env.npm_execpath;
const npm: readonly [string, ...string[]] =
  npmScript && /\.c?js$/.test(npmScript) ? [process.execPath, npmScript] : ["npm"];

/** As in a terminal: nothing of the npm that runs the tests, no settings of this project, this Node before others. */
function environment(): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !/^npm_|^INIT_CWD$|^NODE_|^MUTWO_/.test(name));
  const programs = [path.dirname(process.execPath), process.env.PATH].join(path.delimiter);
  return { ...Object.fromEntries(own), PATH: programs, NO_COLOR: "1", MUTWO_CACHE: process.env.MUTWO_CACHE };
}

interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function start(command: readonly string[], cwd: string, env = environment()): Outcome {
  const [program = "", ...args] = command;
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    cwd,
    env,
    encoding: "utf8",
    timeout: 400_000,
    maxBuffer: 1 << 26,
  });
  if (error) throw error;
  return { status, stdout, stderr };
}

function succeeds(command: readonly string[], cwd: string, env = environment()): string {
  const { status, stdout, stderr } = start(command, cwd, env);
  assert.equal(status, 0, `${command.join(" ")}\n${stdout.slice(-2000)}\n${stderr.slice(-2000)}`);
  return stdout;
}

let files: readonly string[];
let archive: string;
/** Installed with install scripts, as npm does by default, and without any. */
const withScripts = path.join(place, "with scripts");
const withoutScripts = path.join(place, "without-scripts");

/** An empty project with the packed file. */
function install(folder: string, ...options: readonly string[]): void {
  mkdirSync(folder);
  writeFileSync(path.join(folder, "package.json"), '{ "private": true }\n');
  const started = Date.now();
  const quiet = ["--no-audit", "--no-fund", "--loglevel=error"];
  succeeds([...npm, "install", ...options, ...quiet, `../${path.basename(archive)}`], folder);
  console.log(`npm install ${options.join(" ")}: ${((Date.now() - started) / 1000).toFixed(0)} s, ${mb(folder)} MB`);
}

/** Bytes of all files in a folder. */
function bytes(folder: string): number {
  let sum = 0;
  for (const name of readdirSync(folder)) {
    const stat = lstatSync(path.join(folder, name));
    sum += stat.isDirectory() ? bytes(path.join(folder, name)) : stat.size;
  }
  return sum;
}

const mb = (folder: string): string => (bytes(folder) / 1e6).toFixed(0);

before(() => {
  const packed = succeeds([...npm, "pack", "--json", "--pack-destination", place], at(".."));
  const [made] = JSON.parse(packed) as [{ filename: string; files: { path: string }[] }];
  archive = path.join(place, made.filename);
  files = made.files.map((file) => file.path).sort();
  install(withScripts);
  install(withoutScripts, "--ignore-scripts");
});

const mutwo = (folder: string, ...args: readonly string[]): readonly string[] => [
  process.execPath,
  path.join(folder, "node_modules/mutwo/src/launch.mjs"),
  ...args,
];

test("the package holds what runs, and no test, source map of one, fixture or model but the demonstration's", () => {
  const folders = ["LICENSE", "README.md", "package.json", "dist", "src", "templates", "notebooks"];
  assert.deepEqual([...new Set(files.map((file) => file.split("/")[0]))].sort(), [...folders].sort());
  const odd = /(^|\/)test|\.test\.|fixture|golden|recordings\/|\.tsbuildinfo|^dist\/docs|\.ts$/;
  const isOdd = (file: string): boolean => odd.test(file.replace(/\.d\.ts$/, ""));
  assert.deepEqual(files.filter(isOdd), []);
  const models = files.filter((file) => /\.(onnx|safetensors|recording)$/.test(file));
  assert.ok(
    models.every((file) => file.startsWith("notebooks/demo/")),
    models.join(" "),
  );
  const sources = files.filter((file) => file.startsWith("src/"));
  const there = readdirSync(at("../src"), { recursive: true }).map(String);
  const started = there.filter((file) => file.endsWith(".cjs")).map((file) => `src/${file.replaceAll(path.sep, "/")}`);
  assert.deepEqual(sources, [...started, "src/launch.mjs"].sort());
  for (const file of ["dist/vendor/LICENSES.txt", "dist/vendor/danfo.cjs", "dist/index.d.ts"])
    assert.ok(files.includes(file), file);
});

test("licences of what is bundled go along, each with the text or its name", () => {
  const text = readFileSync(path.join(withScripts, "node_modules/mutwo/dist/vendor/LICENSES.txt"), "utf8");
  for (const name of ["danfojs-node", "mathjs", "xlsx", "@tensorflow/tfjs-core", "onnxruntime-node", "adm-zip"])
    assert.match(text, new RegExp(`^(@e965/)?${name} \\d+\\.\\d+\\.\\d+\\nLicence: `, "m"), name);
});

test("installed it is smaller than 500 MB, and asks for nothing but packages of the registry", () => {
  for (const folder of [withScripts, withoutScripts]) assert.ok(bytes(folder) < 500e6, `${mb(folder)} MB`);
  const lock = JSON.parse(readFileSync(path.join(withScripts, "package-lock.json"), "utf8")) as {
    packages: Record<string, { dependencies?: Record<string, string> }>;
  };
  for (const [folder, { dependencies }] of Object.entries(lock.packages))
    for (const [name, range] of Object.entries(folder ? (dependencies ?? {}) : {}))
      assert.doesNotMatch(range, /:\/\/|^git|^file:/, `${folder} wants ${name} from ${range}`);
  for (const name of ["danfojs-node", "onnxruntime-node", "@tensorflow", "puppeteer", "request"])
    assert.ok(!existsSync(path.join(withScripts, "node_modules", name)), name);
});

/** The README's example of the library, on the demonstration model. */
function example(): string {
  const readme = readFileSync(path.join(withScripts, "node_modules/mutwo/README.md"), "utf8");
  const [, code] = /```ts\n(import [^`]*? from "mutwo";[^`]*)```/.exec(readme) ?? [];
  assert.ok(code, "no example in the README");
  const model = path.join(withScripts, "node_modules/mutwo/notebooks/demo/resnet18.onnx");
  assert.ok(code.includes('"model.onnx"'));
  // a smaller batch, a larger budget: Adam's state is most of a ResNet-18 at such batch sizes
  return code.replace('"model.onnx"', JSON.stringify(model)).replace("batch: 8", "batch: 4").replace('"70%"', '"95%"');
}

for (const [kind, file] of [
  ["an ES module", "example.mts"],
  ["CommonJS", "example.cts"],
] as const)
  test(`the README's example compiles in strict mode with every declaration checked, and runs: ${kind}`, () => {
    const folder = path.join(withScripts, kind.replaceAll(" ", "-"));
    mkdirSync(folder);
    writeFileSync(path.join(folder, file), example());
    const strict = { strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true };
    const compilerOptions = { ...strict, skipLibCheck: false, module: "NodeNext", target: "ES2022", types: [] };
    writeFileSync(path.join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files: [file] }));
    succeeds([process.execPath, require.resolve("typescript/bin/tsc"), "--project", "."], folder);
    const out = succeeds([process.execPath, file.replace("ts", "js")], folder);
    assert.match(out, /^\d+ → \d+ bytes$/m);
    assert.equal(out.match(/^10 rows × [1-9]\d+ columns$/gm)?.length, 3);
    const reports = path.join(folder, out.trim().split("\n").at(-1) ?? "");
    for (const name of ["run.json", "report.html", "report.pdf", "profiler_stats_node_stats.csv"])
      assert.ok(existsSync(path.join(reports, name)), name);
    assert.equal(readFileSync(path.join(reports, "report.pdf")).subarray(0, 5).toString(), "%PDF-");
  });

test("the command line profiles, plans, executes and reports, in a project without install scripts", () => {
  const model = path.join(withoutScripts, "node_modules/mutwo/notebooks/demo/resnet18.onnx");
  const options = [
    "--loss",
    "ce",
    "--optimizer",
    "sgd",
    "--dim",
    "batch=4",
    "--budget",
    "90%",
    "--out",
    "out",
    "--json",
  ];
  const result = JSON.parse(succeeds([...mutwo(withoutScripts, "profile"), model, ...options], withoutScripts));
  assert.ok(Object.keys(result).length > 0);
  const [run = ""] = readdirSync(path.join(withoutScripts, "out"));
  assert.ok(existsSync(path.join(withoutScripts, "out", run, "report.html")));
  succeeds([...mutwo(withoutScripts, "report"), path.join("out", run, "run.json"), "--pdf"], withoutScripts);
  assert.ok(existsSync(path.join(withoutScripts, "out", run, "report.pdf")));
  // by npm's own link
  const npx = [...npm, "exec", "--no", "--", "mutwo", "--version"];
  assert.match(succeeds(npx, withoutScripts), /^\d+\.\d+\.\d+$/m);
  const findings = JSON.parse(succeeds([...mutwo(withoutScripts, "doctor"), "--json"], withoutScripts)) as {
    what: string;
    works: boolean;
    detail: string;
  }[];
  for (const what of ["node", "cpu backend", "browser (PDF, PNG)", "danfo", "tslab kernel", "zeromq"])
    assert.ok(findings.find((finding) => finding.what === what)?.works, what);
});

test("mutwo kernel install registers a kernel that starts in the user's project", () => {
  const data = path.join(withScripts, "jupyter");
  succeeds(mutwo(withScripts, "kernel", "install", "--data-dir", data), withScripts);
  const { argv } = JSON.parse(readFileSync(path.join(data, "kernels/mutwo/kernel.json"), "utf8")) as { argv: string[] };
  assert.ok(argv[1] && existsSync(argv[1]), argv.join(" "));
});

/** The project in which a notebook runs: one of its own if it tells what to install beside mutwo, which is installed then. */
function projectOf(notebook: string): string {
  const { cells } = JSON.parse(readFileSync(at("../notebooks", notebook), "utf8")) as { cells: { source: string[] }[] };
  const told = /^npm install (--ignore-scripts .*)$/m.exec(cells.map(({ source }) => source.join("")).join("\n"))?.[1];
  if (!told) return withScripts;
  const { devDependencies } = JSON.parse(readFileSync(at("../package.json"), "utf8")) as {
    devDependencies: Record<string, string>;
  };
  const [, ...packages] = told.split(" ");
  for (const one of packages) assert.equal(one, `${one.split("@")[0]}@${devDependencies[one.split("@")[0] ?? ""]}`);
  const project = path.join(place, notebook.replace(/\W/g, "-"));
  install(project, "--ignore-scripts");
  succeeds(
    [...npm, "install", "--no-audit", "--no-fund", "--loglevel=error", "--ignore-scripts", ...packages],
    project,
  );
  return project;
}

for (const name of readdirSync(at("../notebooks")).filter((file) => file.endsWith(".ipynb")))
  test(`notebooks/${name} runs from a copy in the user's project`, () => {
    const project = projectOf(name);
    cpSync(path.join(project, "node_modules/mutwo/notebooks", name), path.join(project, name));
    const output = path.join(place, name);
    succeeds(mutwo(project, "notebook", "run", name, "--out", output), project);
    const { cells } = JSON.parse(readFileSync(output, "utf8")) as { cells: { outputs?: { output_type: string }[] }[] };
    const outputs = cells.flatMap((cell) => cell.outputs ?? []);
    assert.ok(outputs.length > 0);
    assert.ok(outputs.every(({ output_type }) => output_type !== "error"));
  });

const missing: readonly (readonly [what: string, gone: string, args: readonly string[], message: RegExp])[] = [
  [
    "ONNX Runtime's library",
    "mutwo/dist/vendor/onnxruntime",
    ["profile", "MODEL", "--loss", "ce", "--optimizer", "sgd", "--dim", "batch=1"],
    /^mutwo: no ONNX Runtime library for \w+ \w+: .* \(set ORT_LIBRARY to one of version [\d.]+\)\n$/,
  ],
  [
    "koffi's",
    "@koromix",
    ["profile", "MODEL", "--loss", "ce", "--optimizer", "sgd", "--dim", "batch=1"],
    /^mutwo: .*koffi.*\n$/i,
  ],
  ["zeromq's", "zeromq/build", ["notebook", "run", "01-profile.ipynb", "--out", "o.ipynb"], /^mutwo: .*zeromq.*\n$/i],
];

for (const [what, gone, args, message] of missing)
  test(`without ${what} a command ends in one line: exit status 2`, () => {
    const modules = path.join(withoutScripts, "node_modules");
    cpSync(path.join(modules, "mutwo/notebooks/01-profile.ipynb"), path.join(withoutScripts, "01-profile.ipynb"));
    const model = path.join(modules, "mutwo/notebooks/demo/resnet18.onnx");
    const hidden = path.join(place, "hidden");
    renameSync(path.join(modules, gone), hidden);
    try {
      // a CUDA provider in the cache has a core library beside it
      const env = { ...environment(), MUTWO_CACHE: path.join(place, "cache") };
      const command = mutwo(withoutScripts, ...args.map((arg) => (arg === "MODEL" ? model : arg)));
      const { status, stdout, stderr } = start(command, withoutScripts, env);
      assert.match(stderr, message);
      assert.deepEqual([status, stdout], [2, ""]);
    } finally {
      renameSync(hidden, path.join(modules, gone));
    }
  });
