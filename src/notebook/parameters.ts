import { createRequire } from "node:module";
import type typescript from "typescript";
import { type Cell, type Notebook, sourceOf } from "./ipynb.js";

/** The global types that the compiler needs; a name that it does not know has any type. */
const globals = `interface Array<T> { length: number; [index: number]: T }
interface ReadonlyArray<T> { readonly length: number; readonly [index: number]: T }
interface Boolean { valueOf(): boolean } interface Number { toFixed(): string } interface String { length: number }
interface Function { name: string } interface CallableFunction extends Function {} interface NewableFunction extends Function {}
interface Object { valueOf(): Object } interface IArguments { length: number } interface RegExp { source: string }
type Record<K extends string, V> = { [key in K]: V }; type Partial<T> = { [key in keyof T]?: T[key] };
type Readonly<T> = { readonly [key in keyof T]: T[key] };`;

interface Declaration {
  readonly isConst: boolean;
  /** The declared type, as TypeScript writes it. */
  readonly type: string;
  /** Of some literals, the first that is of that type. */
  readonly fitting: string | undefined;
}

/** The variables that a cell declares, by the compiler that tslab brings, and which of the literals for each is of its type. */
function declarationsIn(source: string, literals: ReadonlyMap<string, readonly string[]>): Map<string, Declaration> {
  const fromTslab = createRequire(require.resolve("tslab/package.json"));
  const ts = fromTslab("@tslab/typescript-for-tslab") as typeof typescript;
  const tries = [...literals].flatMap(([name, texts]) =>
    texts.map((text) => ({ name, text, line: `${name} = ${text};` })),
  );
  // in a module of its own: the cell's names are none of the global ones
  const files = new Map([
    ["globals.d.ts", globals],
    ["cell.ts", [source, ...tries.map(({ line }) => line), "export {};"].join("\n")],
  ]);
  const parsed = new Map(
    [...files].map(([name, text]) => [name, ts.createSourceFile(name, text, ts.ScriptTarget.ES2022, true)]),
  );
  const program = ts.createProgram(
    [...files.keys()],
    { noLib: true, strict: true, types: [] },
    {
      getSourceFile: (name) => parsed.get(name),
      fileExists: (name) => files.has(name),
      readFile: (name) => files.get(name),
      getDefaultLibFileName: () => "",
      getCurrentDirectory: () => "",
      getCanonicalFileName: (name) => name,
      useCaseSensitiveFileNames: () => true,
      getNewLine: () => "\n",
      writeFile: () => {},
    },
  );
  const cell = parsed.get("cell.ts") as typescript.SourceFile;
  const wrong = new Set(
    program.getSemanticDiagnostics(cell).map(({ start = 0 }) => cell.getLineAndCharacterOfPosition(start).line),
  );
  const first = source.split("\n").length;
  const checker = program.getTypeChecker();
  const declarations = new Map<string, Declaration>();
  for (const statement of cell.statements) {
    if (!ts.isVariableStatement(statement)) continue;
    const isConst = (statement.declarationList.flags & ts.NodeFlags.Const) !== 0;
    for (const { name } of statement.declarationList.declarations)
      if (ts.isIdentifier(name))
        declarations.set(name.text, {
          isConst,
          type: checker.typeToString(checker.getTypeAtLocation(name)),
          fitting: tries.find((one, i) => one.name === name.text && !wrong.has(first + i))?.text,
        });
  }
  return declarations;
}

/** What a parameter's text may mean, first what it looks like: a number, a truth value, null, a list or object in JSON, a text. */
function literalsOf(text: string): string[] {
  const literals: string[] = [];
  if (text.trim() !== "" && Number.isFinite(Number(text))) literals.push(String(Number(text)));
  if (["true", "false", "null"].includes(text)) literals.push(text);
  if (/^\s*[[{]/.test(text))
    try {
      literals.push(JSON.stringify(JSON.parse(text)));
    } catch {} // a text then
  // U+2028 and U+2029 end a line of older TypeScript
  return [...literals, JSON.stringify(text)].map((literal) =>
    literal.replace(/[\u2028\u2029]/g, (mark) => `\\u${mark.charCodeAt(0).toString(16)}`),
  );
}

const tagged = (tag: string) => (cell: Cell) => cell.metadata?.tags?.includes(tag) ?? false;

/**
 * Puts a cell with the given values after the one tagged `parameters`, as papermill does, in place of an earlier one.
 * Throws for a name that that cell does not declare and for a value that is not of its type.
 */
export function injectParameters(notebook: Notebook, parameters: Readonly<Record<string, string>>): void {
  const names = Object.keys(parameters);
  if (names.length === 0) return;
  const declaring = notebook.cells.find(tagged("parameters"));
  if (!declaring) throw new Error(`no cell is tagged parameters: ${names.join(", ")}`);
  const literals = new Map(Object.entries(parameters).map(([name, text]) => [name, literalsOf(text)]));
  const declarations = declarationsIn(sourceOf(declaring), literals);
  const lines = Object.entries(parameters).map(([name, text]) => {
    const declaration = declarations.get(name);
    if (!declaration) throw new Error(`unknown parameter (there are ${[...declarations.keys()].join(", ")}): ${name}`);
    if (declaration.isConst) throw new Error(`parameter is declared const: ${name}`);
    if (declaration.fitting === undefined) throw new Error(`parameter is not a ${declaration.type}: ${name}=${text}`);
    return `${name} = ${declaration.fitting};`;
  });
  const injected: Cell = {
    cell_type: "code",
    // cells have ids since nbformat 4.5 and must not have them before
    id: notebook.nbformat > 4 || notebook.nbformat_minor >= 5 ? "injected-parameters" : undefined,
    metadata: { tags: ["injected-parameters"] },
    source: lines.join("\n"),
    outputs: [],
    execution_count: null,
  };
  notebook.cells = notebook.cells.filter((cell) => !tagged("injected-parameters")(cell));
  notebook.cells.splice(notebook.cells.indexOf(declaring) + 1, 0, injected);
}
