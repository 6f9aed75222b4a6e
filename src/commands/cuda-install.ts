import { spawn } from "node:child_process";
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import path from "node:path";
import { formatBytes } from "../format.js";
import { checkWritable } from "../run/folder.js";
import { driverVersion } from "../runtime/libraries/cuda-facts.js";
import { lookForCuda } from "../runtime/libraries/cuda-libraries.js";
import type { CudaMajor } from "../runtime/libraries/cuda-places.js";
import { readElf } from "../runtime/libraries/elf.js";
import {
  bundledInstaller,
  bundledLibrary,
  bundledVersion,
  coreLibrary,
  installedFolder,
  providerFiles,
} from "../runtime/libraries/ort-library.js";
import { notedSums, noteSums, type Sum, sumOf, sumsFile } from "./sums.js";

export interface CudaInstallOptions {
  /** For which CUDA; default what the driver runs and what libraries there are. */
  readonly cudaMajor?: CudaMajor;
  /** Where to; default mutwo's cache, where the backend looks. */
  readonly folder?: string;
  /** Told of each stage. */
  readonly onProgress?: (stage: string) => void;
  readonly signal?: AbortSignal;
}

export interface CudaInstallation {
  readonly folder: string;
  /** The core library in it, for ORT_LIBRARY. */
  readonly library: string;
  readonly cudaMajor: CudaMajor;
  /** Whether anything had to be fetched. */
  readonly fetched: boolean;
}

/** The npm package that carries ONNX Runtime's own provider for CUDA 13, and the files of that version. */
const npmPackage = {
  name: "com.github.asus4.onnxruntime.linux-x64-gpu",
  version: "0.4.9",
  onnxruntime: "1.29.0",
  folder: "package/Plugins/Linux/x64",
  bytes: 179_145_956,
  files: {
    "libonnxruntime_providers_cuda.so": {
      bytes: 229_780_440,
      sha256: "56cf3254b118ad837ccc4ed8f6d1b23504bbf7ef91b34cbc0b289cb7f10b3037",
    },
    "libonnxruntime_providers_shared.so": {
      bytes: 14_632,
      sha256: "c6a12593396095f5670160e284c35d1700b7708cf3037b7042e2a5200ccae772",
    },
  },
} as const;

/**
 * The CUDA to install for: the newest that the driver runs (13 without a driver), unless its runtime library is missing
 * and an older one's is there.
 */
export function chooseCuda(): CudaMajor {
  const parts = lookForCuda({ cudaMajor: 13 });
  let newest: CudaMajor = 13;
  if (parts.driver.file)
    try {
      if (driverVersion(parts.driver.file) < 13_000) newest = 12;
    } catch {} // doctor tells what is wrong with it
  if (newest === 12 || parts.cudart.file) return newest;
  return lookForCuda({ cudaMajor: 12 }).cudart.file ? 12 : newest;
}

/**
 * Fetches ONNX Runtime's CUDA provider and puts it beside a copy of the core library, all or nothing. Throws one line if
 * the folder cannot be written, the download fails (with what to do by hand), or the files are not the expected ones.
 */
export async function installCuda(options: CudaInstallOptions = {}): Promise<CudaInstallation> {
  if (process.platform !== "linux" || process.arch !== "x64")
    throw new Error(`no CUDA provider for this platform: ${process.platform} ${process.arch}`);
  const cudaMajor = options.cudaMajor ?? chooseCuda();
  const folder = path.resolve(options.folder ?? installedFolder());
  const installation = { folder, library: path.join(folder, coreLibrary), cudaMajor };
  const say = options.onProgress ?? (() => {});
  const parent = path.dirname(folder);
  checkWritable(parent, (error) => new Error(`folder not writable: ${folder} (${error.code})`, { cause: error }));
  mkdirSync(parent, { recursive: true });
  removeAbandoned(folder);
  if (existsSync(folder)) {
    refuseForeign(folder);
    say(`check ${folder}`);
    if (!(await problemOf(folder, cudaMajor))) return { ...installation, fetched: false };
  }
  const temporary = mkdtempSync(`${folder}.partial-${process.pid}-`);
  try {
    const made = path.join(temporary, "made");
    mkdirSync(made);
    const work = path.join(temporary, "work");
    mkdirSync(work);
    await (cudaMajor === 13 ? fetchFromNpm : fetchByOnnxruntime)({ work, made, folder, say, signal: options.signal });
    copyFileSync(bundledLibrary(), path.join(made, coreLibrary));
    if (cudaMajor === 12) say(await noteSums(made, providerFiles));
    say("check");
    const problem = await problemOf(made, cudaMajor);
    if (problem) throw new Error(`not what was expected: ${problem}`);
    options.signal?.throwIfAborted();
    replace(folder, made, path.join(temporary, "old"));
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
  return { ...installation, fetched: true };
}

interface Fetch {
  /** Folder for what comes and goes. */
  readonly work: string;
  /** Folder that gets the provider's files. */
  readonly made: string;
  readonly folder: string;
  readonly say: (stage: string) => void;
  readonly signal: AbortSignal | undefined;
}

async function fetchFromNpm({ work, made, folder, say, signal }: Fetch): Promise<void> {
  const { name, version, onnxruntime, bytes, files } = npmPackage;
  const wanted = `${name}@${version}`;
  if (bundledVersion() !== onnxruntime)
    throw new Error(`no provider known for CUDA 13 and ONNX Runtime ${bundledVersion()}: ${wanted} is ${onnxruntime}`);
  say(`fetch ${wanted} (${formatBytes(bytes)}) with npm`);
  const npm = process.env.npm_execpath;
  const [program, ...first] = npm && /\.c?js$/.test(npm) ? [process.execPath, npm] : ["npm"];
  const pack = ["pack", wanted, "--ignore-scripts", "--loglevel=error", "--json=false"];
  try {
    await run(program, [...first, ...pack], { cwd: work, signal });
    const archive = readdirSync(work).find((file) => file.endsWith(".tgz"));
    if (!archive) throw new Error("npm made no archive");
    say("unpack");
    const members = Object.keys(files).map((file) => `${npmPackage.folder}/${file}`);
    await run("tar", ["-xzof", archive, ...members], { cwd: work, signal });
    for (const member of members) renameSync(path.join(work, member), path.join(made, path.basename(member)));
  } catch (error) {
    throw byHand(error, `npm package ${wanted}`, folder, signal);
  }
}

/** onnxruntime-node's own install script, run in a folder of its own. */
async function fetchByOnnxruntime({ work, made, folder, say, signal }: Fetch): Promise<void> {
  const home = path.join(work, "onnxruntime-node");
  const script = path.join(home, "script/install.cjs");
  cpSync(bundledInstaller(), script);
  const nuget = `NuGet package Microsoft.ML.OnnxRuntime.Gpu.Linux ${bundledVersion()}`;
  say(`fetch ${nuget} with onnxruntime-node's install script`);
  // started by npm in a project, the script thinks that it is its own project's and does nothing
  const { npm_config_local_prefix: _, npm_package_json: __, ...inherited } = process.env;
  const env = { ...inherited, ONNXRUNTIME_NODE_INSTALL: "cuda12", TMPDIR: work };
  try {
    await run(process.execPath, [script], { cwd: work, env, signal });
    const fetched = path.join(home, "bin/napi-v6", process.platform, process.arch);
    for (const file of providerFiles) renameSync(path.join(fetched, file), path.join(made, file));
  } catch (error) {
    throw byHand(error, nuget, folder, signal);
  }
}

/** What to say if something could not be fetched. */
function byHand(error: unknown, source: string, folder: string, signal: AbortSignal | undefined): Error {
  if (signal?.aborted) return signal.reason as Error;
  const why = (error as Error).message.split("\n")[0];
  const files = [...providerFiles, coreLibrary].join(", ");
  return new Error(`cannot fetch ${source}: ${why} (by hand: put ${files} into ${folder})`, { cause: error });
}

/** Runs a program to its end; rejects with the line of its output that says why it failed. */
async function run(
  program: string,
  args: readonly string[],
  options: { cwd: string; env?: NodeJS.ProcessEnv; signal: AbortSignal | undefined },
): Promise<void> {
  const { signal, ...rest } = options;
  const child = spawn(program, args, {
    ...rest,
    ...(signal ? { signal } : {}),
    stdio: ["ignore", "ignore", "pipe"],
  });
  let output = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    output = (output + text).slice(-20_000);
  });
  await new Promise<void>((resolve, reject) => {
    let failure: Error | undefined;
    child.once("error", (error: NodeJS.ErrnoException) => {
      failure = error.code === "ENOENT" ? new Error(`${program} is not installed`, { cause: error }) : error;
    });
    // after an interruption too: until then it may write
    child.once("close", (status) => {
      if (failure) reject(failure);
      else if (status === 0) resolve();
      else reject(new Error(reasonIn(output) ?? `${program} ended with status ${status}`));
    });
  });
}

/** The line of a program's output that says what went wrong. */
function reasonIn(output: string): string | undefined {
  const lines = output
    .split("\n")
    .map((line) => line.replace(/^npm (error|ERR!) ?/, "").trim())
    .filter((line) => line && !/^(code|errno|syscall|at|A complete log)\b/.test(line));
  const named =
    lines.find((line) => /^\w*Error: /.test(line)) ?? lines.find((line) => /\b(error|failed|E[A-Z]{3,})\b/i.test(line));
  return (named ?? lines[0])?.replace(/^\w*Error: /, "");
}

/** Why the files in a folder are not the provider for that CUDA; undefined if they are. */
async function problemOf(folder: string, cudaMajor: CudaMajor): Promise<string | undefined> {
  for (const name of [...providerFiles, coreLibrary])
    if (!existsSync(path.join(folder, name))) return `${name} is not there`;
  const [provider] = providerFiles;
  const runtime = `libcudart.so.${cudaMajor}`;
  if (!readElf(path.join(folder, provider)).needed.includes(runtime)) return `${provider} does not need ${runtime}`;
  const expected = cudaMajor === 13 ? npmPackage.files : notedSums(folder);
  const core = await sumOf(bundledLibrary());
  for (const [name, { bytes, sha256 }] of Object.entries<Sum>({ ...expected, [coreLibrary]: core })) {
    const found = await sumOf(path.join(folder, name));
    if (found.bytes !== bytes) return `${name} has ${found.bytes} bytes, not ${bytes}`;
    if (found.sha256 !== sha256) return `${name} has another SHA-256 than ${sha256}`;
  }
  return undefined;
}

/** A folder with anything else in it is somebody's. */
function refuseForeign(folder: string): void {
  const known: readonly string[] = [...providerFiles, coreLibrary, sumsFile];
  if (!statSync(folder).isDirectory() || readdirSync(folder).some((name) => !known.includes(name)))
    throw new Error(`not an empty folder: ${folder}`);
}

/** Removes what installations left that were ended by force. */
function removeAbandoned(folder: string): void {
  for (const name of readdirSync(path.dirname(folder))) {
    const [, pid] = /\.partial-(\d+)-\w+$/.exec(name) ?? [];
    if (!pid || !name.startsWith(`${path.basename(folder)}.partial-`)) continue;
    try {
      process.kill(Number(pid), 0);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ESRCH")
        rmSync(path.join(path.dirname(folder), name), { recursive: true, force: true });
    }
  }
}

/** Puts a folder in another's place. */
function replace(folder: string, by: string, old: string): void {
  const exists = existsSync(folder);
  if (exists) renameSync(folder, old);
  try {
    renameSync(by, folder);
  } catch (error) {
    if (exists) renameSync(old, folder);
    throw error;
  }
}
