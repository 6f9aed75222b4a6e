/*
 * Where a graph's nodes come from in the user's own code: module paths as PyTorch writes them (`layer2.0.conv1`, "" for
 * the model itself), classes, lines of Python. Names in model files may hold anything: they are cut and cleaned here.
 */

/** A line of the user's own code. */
export interface Source {
  /** The end of its path: `models/gpt2/modeling_gpt2.py`. */
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** What stands there. */
  readonly code?: string;
}

/** A module of the model: an object of the user's code with a place in the model's tree. */
export interface Module {
  /** Names from the model down to it, joined by dots; "" is the model itself. */
  readonly path: string;
  /** Its class, with the Python module: `torch.nn.modules.conv.Conv2d`. */
  readonly class?: string;
}

/** What told the modules of nodes: the exporter's notes, the names of nodes, the parameters that they read, or a saved node table. */
export type OriginBasis = "exporter" | "names" | "parameters" | "tables";

/** The modules and lines that the nodes of a model file come from; what is made of a node is found by its name. */
export interface Origins {
  readonly basis: OriginBasis;
  readonly modules: readonly Module[];
  readonly sources: readonly Source[];
  /** Name of a node, its module, and its line if that is known: indices into the two lists. */
  readonly nodes: readonly (readonly [name: string, module: number, source?: number])[];
  /** Fused nodes whose parts are of several modules: the one that holds them all. */
  readonly fused?: readonly (readonly [name: string, path: string])[];
}

const longestName = 100;
const longestCode = 160;
const mostNames = 32;

/** A text of a file in one line of at most so many characters. */
export function oneLine(text: string, most: number): string {
  const start = text.slice(0, most + 1).replace(/[\p{Cc}\u2028\u2029]/gu, "\uFFFD");
  return start.length > most ? `${start.slice(0, most - 1)}…` : start;
}

/** A module's path of these names: without empty ones, each cut to 100 characters, at most 32 of them. */
export function modulePath(names: readonly string[]): string {
  const parts: string[] = [];
  for (const name of names) {
    // enough of any name to be cut
    for (const part of name.slice(0, longestName * mostNames).split(".")) {
      if (part && parts.length < mostNames) parts.push(oneLine(part, longestName));
    }
  }
  return parts.join(".");
}

/** A line of Python, its path cut to what tells: the part behind `site-packages`, else file and two folders. */
export function sourceOf(path: string, line: number, code?: string): Source {
  const parts = path.split(/[\\/]/).filter(Boolean);
  const installed = parts.findLastIndex((part) => part === "site-packages" || part === "dist-packages");
  const file = oneLine((installed < 0 ? parts.slice(-3) : parts.slice(installed + 1)).join("/"), longestCode);
  const text = code?.trim();
  return { file, line, ...(text ? { code: oneLine(text, longestCode) } : {}) };
}

/** `modeling_gpt2.py:549`, with the folders that are known. */
export const sourceText = ({ file, line }: Source): string => `${file}:${line}`;

/** The last name of a class: `Conv2d`. */
export const shortClass = (name: string): string => name.slice(name.lastIndexOf(".") + 1);

/** The names of a module's path; none of the model itself. */
export const namesOf = (path: string): string[] => (path ? path.split(".") : []);

/** The path of the module that both are in, or are. */
export function commonPath(a: string, z: string): string {
  const [left, right] = [namesOf(a), namesOf(z)];
  const differ = left.findIndex((name, i) => name !== right[i]);
  return (differ < 0 ? left : left.slice(0, differ)).join(".");
}
