import { type Module, modulePath, oneLine, type Source, sourceOf } from "../graph/origins.js";
import type { ProtoNode } from "./onnx-proto.js";

/** Where an exporter says that a node comes from. */
export interface Scope {
  /** The modules that it stands in, the outermost first; the last is its own. */
  readonly modules: readonly Module[];
  /** The innermost line that is not PyTorch's own. */
  readonly source?: Source;
}

/** More of a note is not read: modules lie a few deep, calls some dozens. */
const mostCharacters = 50_000;

const longestClass = 200;

/** The strings of a list as Python writes it: `['', 'm', "it's"]`. */
const pythonList = (text: string): string[] =>
  [...text.matchAll(/'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"/gs)].map(([, single, double = ""]) =>
    (single ?? double).replace(/\\(.)/gs, "$1"),
  );

/** What the exporter writes where it made a node itself. */
const isPlaceholder = (scope: string): boolean => scope.startsWith("_empty_nn_module_stack");

/** A module's path as the exporter has it: a second call of it is `tower@1`. */
const scopePath = (scope: string): string => modulePath([scope.replace(/@\d+(?=\.|$)/g, "")]);

/** Scopes and their classes without the last, which is the op's own: the modules, outermost first. */
function modulesOf(scopes: readonly string[], classes: readonly string[]): Module[] {
  return scopes.slice(0, -1).flatMap((scope, i): Module[] => {
    if (isPlaceholder(scope)) return [];
    const type = oneLine(classes[i] ?? "", longestClass);
    return [{ path: scopePath(scope), ...(type ? { class: type } : {}) }];
  });
}

/** The modules of a `namespace`: `: __main__.Mlp/mod: torch.nn.….Sequential/linear: aten.linear.default`. */
function namespaceModules(text: string): Module[] {
  const pairs = text.split("/").map((part) => part.split(": "));
  return modulesOf(
    pairs.map(([scope = ""]) => scope.replace(/:$/, "")),
    pairs.map(([, type = ""]) => type),
  );
}

interface Frame {
  readonly file: string;
  readonly line: number;
  readonly code?: string;
}

/** Frames of a Python traceback, the innermost last. */
const tracebackFrames = (text: string): Frame[] =>
  [...text.matchAll(/File "([^"\n]*)", line (\d+)[^\n]*(?:\n(?! *File ")([^\n]*))?/g)].map(
    ([, file = "", line, code]) => ({ file, line: Number(line), code }),
  );

/** Frames as TorchScript writes them, `…/conv.py(459): forward`, the innermost first; turned round. */
const scriptFrames = (text: string): Frame[] =>
  [...text.matchAll(/^([^\n(]+\.py)\((\d+)\): /gm)]
    .map(([, file = "", line]) => ({ file: file.trim(), line: Number(line) }))
    .reverse();

/** PyTorch's own code, and what Python makes of no file. */
const isForeign = ({ file }: Frame): boolean =>
  /(^|[\\/])(site|dist)-packages[\\/]torch[\\/]|^torch[\\/]|[\\/]lib[\\/]python[\d.]+[\\/](?!(site|dist)-packages)|^</.test(
    file,
  );

const innermost = (frames: readonly Frame[]): Source | undefined => {
  const frame = frames.findLast((one) => !isForeign(one));
  return frame && sourceOf(frame.file, frame.line, frame.code);
};

/** What the exporter noted of a node in the file, as the node's `scope`; nothing if it noted nothing. */
export function scopeOf({ metadataProps = [], docString = "" }: ProtoNode): { scope?: Scope } {
  const notes = new Map(metadataProps.map(({ key, value }) => [key, value.slice(0, mostCharacters)]));
  const scopes = notes.get("pkg.torch.onnx.name_scopes");
  const trace = notes.get("pkg.torch.onnx.stack_trace");
  const modules = scopes
    ? modulesOf(pythonList(scopes), pythonList(notes.get("pkg.torch.onnx.class_hierarchy") ?? ""))
    : namespaceModules(notes.get("namespace") ?? "");
  const source = innermost(trace ? tracebackFrames(trace) : scriptFrames(docString.slice(0, mostCharacters)));
  if (modules.length === 0 && !source) return {};
  return { scope: { modules, ...(source ? { source } : {}) } };
}
