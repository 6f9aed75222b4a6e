import { existsSync } from "node:fs";
import path from "node:path";
import { list, type Machine } from "./cuda-places.js";
import { readElf } from "./elf.js";

/** One library that the CUDA backend needs: where it is, or why it cannot be used. */
export type CudaPart =
  | { readonly name: string; readonly file: string; readonly problem?: undefined }
  | { readonly name: string; readonly file?: undefined; readonly problem: string };

/** Libraries of CUDA, as opposed to the system's and the driver's. */
const isCuda = (name: string): boolean => /^lib(cu|nv|nccl)/.test(name) && !/^lib(cuda|nvidia)[.-]/.test(name);

/** The libraries of CUDA that a library needs; none if it cannot be read: loading it will say what is wrong. */
export function neededCuda(file: string): string[] {
  try {
    return readElf(file).needed.filter(isCuda);
  } catch {
    return [];
  }
}

/** Looks for libraries on a machine, each once. */
export class LibrarySearch {
  /** Folders that were searched, in that order. */
  readonly folders: string[] = [];
  private readonly known = new Map<string, CudaPart>();

  constructor(
    private readonly machine: Machine,
    /** Environment variables that name a library, by the library's name. */
    private readonly variables: Readonly<Record<string, string>>,
    /** Folders to look in first. */
    private readonly given: readonly string[],
  ) {}

  /** Where a library is, or why it cannot be used. */
  find(name: string): CudaPart {
    const before = this.known.get(name);
    if (before) return before;
    const found = this.lookFor(name);
    this.known.set(name, found);
    return found;
  }

  /** These libraries and what they need, each after what it needs. */
  loadOrder(names: readonly string[]): string[] {
    const order: string[] = [];
    const visit = (name: string): void => {
      if (order.includes(name)) return;
      const { file } = this.find(name);
      if (file) for (const before of neededCuda(file)) visit(before);
      if (!order.includes(name)) order.push(name);
    };
    for (const name of names) visit(name);
    return order;
  }

  private lookFor(name: string): CudaPart {
    const variable = this.variables[name];
    const chosen = variable && this.machine.env[variable];
    if (chosen) return checkChosen(name, variable, chosen);
    const file = this.search((folder) => {
      const place = path.join(folder, name);
      return existsSync(place) ? place : undefined;
    });
    if (file) return { name, file };
    const loaded = this.machine.byLoader(name);
    if (loaded) return { name, file: loaded };
    const stem = name.slice(0, name.indexOf(".so") + 4);
    const other = this.search((folder) => {
      const version = list(folder).find((entry) => entry.startsWith(stem) && /^\d+$/.test(entry.slice(stem.length)));
      return version && path.join(folder, version);
    });
    return { name, problem: other ? `not found, only another version: ${other}` : "not found" };
  }

  /** The first file that fits, folder by folder; programs that know of folders are asked when it comes to theirs. */
  private search(fits: (folder: string) => string | undefined): string | undefined {
    const seen = new Set<string>();
    for (const folders of [() => this.given, this.machine.systemFolders, this.machine.pythonFolders])
      for (const folder of folders()) {
        if (seen.has(folder)) continue;
        seen.add(folder);
        if (!this.folders.includes(folder)) this.folders.push(folder);
        const file = fits(folder);
        if (file) return file;
      }
    return undefined;
  }
}

/** A library that an environment variable names. */
function checkChosen(name: string, variable: string, chosen: string): CudaPart {
  const file = path.resolve(chosen);
  if (!existsSync(file)) return { name, problem: `${variable} is not there: ${chosen}` };
  try {
    const { soname } = readElf(file);
    if (soname && soname !== name) return { name, problem: `${variable} is another library: ${soname} (${chosen})` };
  } catch (error) {
    return { name, problem: `${variable} is ${(error as Error).message}` };
  }
  return { name, file };
}
