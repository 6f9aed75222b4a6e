import { createHash } from "node:crypto";
import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  realpathSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  write,
  writeFileSync,
  writeSync,
} from "node:fs";
import { hostname } from "node:os";
import path from "node:path";
import { promisify } from "node:util";

/*
 * Files and folders that appear whole: temporary folders that the next run finds and removes if their owner was killed,
 * and files that take the place of others without taking their links and modes.
 */

/** Which machine, and which of its tables of processes: elsewhere the same number is another process. */
function placeOfProcess(): string {
  let table = "";
  try {
    table = readlinkSync("/proc/self/ns/pid");
  } catch {} // not Linux
  return createHash("sha256").update(`${hostname()} ${table}`).digest("hex").slice(0, 8);
}

/** Whether a process is there, whoever owns it. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}

/**
 * When a process began, in the kernel's count since the machine did (proc(5), `starttime`): with its number it names the
 * process, and no clock that is set can change it. 0 where the system does not tell.
 */
function startOf(pid: number): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "latin1").replace(/^.*\)\s/s, "");
    return Number(fields.split(" ")[19]) || 0;
  } catch {
    return 0;
  }
}

/** Whether a folder's owner is there: not another process that has got its number since. */
const isOwned = (pid: number, start: number): boolean => isAlive(pid) && (!start || [0, start].includes(startOf(pid)));

/**
 * Makes a temporary folder in another one, named by the process that owns it, for its owner to remove; removes those of
 * the same prefix whose owners were killed. Throws what the system does.
 */
export function temporaryFolder(parent: string, prefix = ".mutwo"): string {
  const place = placeOfProcess();
  removeAbandoned(parent, prefix, place);
  return mkdtempSync(path.join(parent, `${prefix}-${process.pid}-${startOf(process.pid)}-${place}-`));
}

function removeAbandoned(parent: string, prefix: string, place: string): void {
  for (const name of readdirSync(parent)) {
    if (!name.startsWith(`${prefix}-`)) continue;
    const [, pid, start, where] = /^-(\d+)-(\d+)-([0-9a-f]{8})-\w{6}$/.exec(name.slice(prefix.length)) ?? [];
    if (where !== place || isOwned(Number(pid), Number(start))) continue;
    try {
      rmSync(path.join(parent, name), { recursive: true, force: true });
    } catch {} // of another user, or being removed by another run
  }
}

/** Where a file is written: what a link leads to, whether or not anything is there. */
export function targetOf(file: string): string {
  let target = path.resolve(file);
  for (let links = 0; links < 40; links++) {
    const stat = lstatSync(target, { throwIfNoEntry: false });
    if (!stat?.isSymbolicLink()) break;
    target = path.resolve(path.dirname(target), readlinkSync(target));
  }
  return target;
}

/**
 * Puts a file in the place of another, whole where that can be: what a link leads to is replaced, not the link; the mode
 * of a file that was there stays; one with other names, and what is no file (`/dev/stdout`), is written into.
 */
export function replaceFile(from: string, file: string): void {
  const target = targetOf(file);
  const stat = statSync(target, { throwIfNoEntry: false });
  if (isWrittenInto(stat)) {
    moveInto(from, target);
    return;
  }
  if (stat) chmodSync(from, stat.mode & 0o7777);
  try {
    renameSync(from, target);
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    // another disk, or a folder that takes no new files and holds one that may be written
    if (code !== "EXDEV" && !(stat && ["EACCES", "EPERM"].includes(code))) throw error;
    moveInto(from, target);
  }
}

/** Writes one file's bytes into another, which stays: the system's own copy would remove it where it fails. */
function moveInto(from: string, target: string): void {
  const source = openSync(from, "r");
  try {
    const into = openSync(target, "w");
    try {
      const part = Buffer.alloc(2 ** 24);
      for (let size = readSync(source, part); size > 0; size = readSync(source, part))
        for (let done = 0; done < size; ) done += writeSync(into, part, done, size - done);
    } finally {
      closeSync(into);
    }
  } finally {
    closeSync(source);
  }
  rmSync(from);
}

/** Whether a file is written into, not replaced: it has other names, or is no file (`/dev/stdout`). */
const isWrittenInto = (stat: Stats | undefined): boolean => stat !== undefined && (!stat.isFile() || stat.nlink > 1);

/** Writes a file as `replaceFile` does, from a temporary folder beside it. Throws `cannot write FILE (CODE)`. */
export function writeWhole(file: string, content: string | Uint8Array): void {
  try {
    writeBeside(file, content);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw code === undefined ? error : new Error(`cannot write ${file} (${code})`, { cause: error });
  }
}

/**
 * Writes a new file by another thread while the caller does other things: a text is handed over before this returns. Who
 * waits for it is told what the system refuses.
 */
export async function writeMeanwhile(file: string, ...texts: readonly string[]): Promise<void> {
  const descriptor = openSync(file, "w");
  try {
    for (const text of texts) {
      const bytes = Buffer.from(text);
      for (let at = 0; at < bytes.length; ) at += (await promisify(write)(descriptor, bytes, at)).bytesWritten;
    }
  } finally {
    closeSync(descriptor);
  }
}

function writeBeside(file: string, content: string | Uint8Array): void {
  const target = targetOf(file);
  if (isWrittenInto(statSync(target, { throwIfNoEntry: false }))) {
    writeFileSync(target, content);
    return;
  }
  let folder: string;
  try {
    folder = temporaryFolder(path.dirname(target));
  } catch (error) {
    // a folder that takes nothing new may hold a file that may be written
    if (!statSync(target, { throwIfNoEntry: false })) throw error;
    writeFileSync(target, content);
    return;
  }
  try {
    const made = path.join(folder, "file");
    writeFileSync(made, content);
    replaceFile(made, target);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Writes a file of any size whole or not at all, so that it is there after a loss of power too: `fill` writes it in a
 * temporary folder beside it, it is brought to the disk, and takes its place. One that was there stays until then. Throws
 * `cannot write FILE (CODE)`, `disk full: FILE`, or what `fill` throws.
 */
export function writeDurably(file: string, fill: (made: string) => void): void {
  const target = targetOf(file);
  try {
    const folder = temporaryFolder(path.dirname(target));
    try {
      const made = path.join(folder, "file");
      fill(made);
      flush(made);
      replaceFile(made, target);
      flush(path.dirname(target));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  } catch (error) {
    throw inWords(error, file);
  }
}

/** Whether a file system has no second names for files. */
const lacksLinks = (code = ""): boolean => ["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK"].includes(code);

/**
 * Writes a file that is not there yet, whole or not at all, after a loss of power too; one that is there, or that another
 * process puts there meanwhile, stays as it is. It is made in `folder`, a temporary one on the same disk. Returns whether it
 * is this text. Throws as `writeDurably`.
 */
export function writeOnce(file: string, content: string, folder: string): boolean {
  const made = path.join(folder, `${process.pid}-${path.basename(file)}`);
  try {
    writeFileSync(made, content);
    flush(made);
    try {
      linkSync(made, file);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (!lacksLinks(code)) throw error;
      if (existsSync(file)) return false;
      renameSync(made, file);
    }
    // its name may be lost with the power, and is made again then: bringing that to the disk takes as long as all the rest
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw inWords(error, file);
  } finally {
    rmSync(made, { force: true });
  }
}

/** Writes a file part by part: none is copied, and together they may be larger than what one array holds. */
export function writeParts(file: string, parts: Iterable<Uint8Array>): void {
  const descriptor = openSync(file, "w");
  try {
    for (const part of parts)
      for (let done = 0; done < part.length; ) done += writeSync(descriptor, part, done, part.length - done);
  } finally {
    closeSync(descriptor);
  }
}

/**
 * Writes a file and others beside it, all of them whole or none: `fill` writes each where `place` says, given where it is
 * to be, or leaves that place empty; the file itself takes its place last, so that whoever sees it finds the others.
 * Throws as `writeDurably`.
 */
export function writeTogether(file: string, fill: (place: (target: string) => string) => void): void {
  const made = new Map<string, string>();
  try {
    const folder = temporaryFolder(path.dirname(targetOf(file)));
    try {
      fill((target) => {
        const known = made.get(target) ?? path.join(folder, `file${made.size}`);
        made.set(target, known);
        return known;
      });
      const written = [...made].filter(([, one]) => existsSync(one));
      for (const [, one] of written) flush(one);
      for (const [target, one] of written.sort(([a], [b]) => Number(a === file) - Number(b === file))) {
        mkdirSync(path.dirname(target), { recursive: true });
        replaceFile(one, target);
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  } catch (error) {
    throw inWords(error, file);
  }
}

/** What the system says of writing a file, in our own words. */
function inWords(error: unknown, file: string): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (code === "ENOSPC" || code === "EDQUOT") return new Error(`disk full: ${file}`, { cause: error });
  return code === undefined ? error : new Error(`cannot write ${file} (${code})`, { cause: error });
}

/** Brings a file or a folder's list of names to the disk; a system that does not do that for folders leaves it. */
function flush(place: string): void {
  const isFolder = statSync(place).isDirectory();
  let descriptor: number | undefined;
  try {
    descriptor = openSync(place, isFolder ? "r" : "r+");
    fsyncSync(descriptor);
  } catch (error) {
    if (!isFolder) throw error;
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

/** Whether two paths lead to the same file. */
export function isSameFile(a: string, z: string): boolean {
  const [one, other] = [a, z].map((file) => statSync(targetOf(file), { throwIfNoEntry: false }));
  if (one && other) return one.dev === other.dev && one.ino === other.ino;
  return !one && !other && realPlace(a) === realPlace(z);
}

/** The path of a file that need not be there, without links. */
function realPlace(file: string): string {
  const target = targetOf(file);
  try {
    return path.join(realpathSync(path.dirname(target)), path.basename(target));
  } catch {
    return target;
  }
}

/** The mode of a new folder, as the user's mask has it. */
export const folderMode = (): number => 0o777 & ~process.umask();
