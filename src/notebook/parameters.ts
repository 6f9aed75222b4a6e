import { createRequire } from "node:module";
import type typescript from "typescript";
import { type Cell, type Notebook, sourceOf } from "./ipynb.js";

interface Declaration {
  readonly type: "number" | "string" | "boolean" | "other";
  readonly isConst: boolean;
}

/** The variables that a cell declares, by the compiler that tslab brings. */
function declarationsIn(source: string): Map<string, Declaration> {
  const fromTslab = createRequire(require.resolve("tslab/package.json"));
  const ts = fromTslab("@tslab/typescript-for-tslab") as typeof typescript;
  const { SyntaxKind: kinds } = ts;
  const types = new Map<typescript.SyntaxKind | undefined, Declaration["type"]>([
    [kinds.NumberKeyword, "number"],
    [kinds.NumericLiteral, "number"],
    [kinds.PrefixUnaryExpression, "number"],
    [kinds.StringKeyword, "string"],
    [kinds.StringLiteral, "string"],
    [kinds.NoSubstitutionTemplateLiteral, "string"],
    [kinds.BooleanKeyword, "boolean"],
    [kinds.TrueKeyword, "boolean"],
    [kinds.FalseKeyword, "boolean"],
  ]);
  const declarations = new Map<string, Declaration>();
  for (const statement of ts.createSourceFile("cell.ts", source, ts.ScriptTarget.ES2022).statements) {
    if (!ts.isVariableStatement(statement)) continue;
    const isConst = (statement.declarationList.flags & ts.NodeFlags.Const) !== 0;
    for (const { name, type, initializer } of statement.declarationList.declarations)
      if (ts.isIdentifier(name))
        declarations.set(name.text, { type: types.get((type ?? initializer)?.kind) ?? "other", isConst });
  }
  return declarations;
}

/** A parameter's text as a literal of its declared type; where that says nothing, of the type that the text looks like. */
function literal(name: string, text: string, type: Declaration["type"]): string {
  const isNumber = text.trim() !== "" && Number.isFinite(Number(text));
  const isBoolean = text === "true" || text === "false";
  if ((type === "number" && !isNumber) || (type === "boolean" && !isBoolean))
    throw new Error(`parameter is not a ${type}: ${name}=${text}`);
  // U+2028 and U+2029 end a line of older TypeScript
  if (type === "string" || (!isNumber && !isBoolean))
    return JSON.stringify(text).replace(/[\u2028\u2029]/g, (mark) => `\\u${mark.charCodeAt(0).toString(16)}`);
  return isNumber ? String(Number(text)) : text;
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
  const declarations = declarationsIn(sourceOf(declaring));
  const lines = Object.entries(parameters).map(([name, text]) => {
    const declaration = declarations.get(name);
    if (!declaration) throw new Error(`unknown parameter (there are ${[...declarations.keys()].join(", ")}): ${name}`);
    if (declaration.isConst) throw new Error(`parameter is declared const: ${name}`);
    return `${name} = ${literal(name, text, declaration.type)};`;
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
