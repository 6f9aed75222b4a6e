// Where an error is in the cells that the user wrote. tslab compiles a cell in two steps and runs what they make under no
// name: here each cell has one, and both steps leave a source map.
"use strict";
const { SourceMap } = require("node:module");
const path = require("node:path");
const util = require("node:util");

// calls below a cell's, which are left out, are often more than the ten that Node keeps
Error.stackTraceLimit = 50;

/** Lines that tslab puts before a cell's text. */
const prefixLines = 1;
/** What it puts before the code on its first line, at most: `(async function(exports, require) { `. */
const wrappers = ["(async function(exports, require) { ".length, "(function(exports, require) { ".length];

/** Cells by their number: text, maps, how far the first line is moved. */
const cells = new Map();

const nameOf = (count) => `mutwo-cell-${count}`;

/** Names a compiled cell, so that its place is in stacks. */
const named = (code, count) => `${code}\n//# sourceURL=${nameOf(count)}`;

function remember(count, { source, maps, isAsync }) {
  const [first, second] = maps.map((map) => map && new SourceMap(JSON.parse(map)));
  cells.set(count, { lines: source.split("\n"), first, second, moved: wrappers[isAsync ? 0 : 1] });
}

/** Line and column, from 1, in the text of a cell; undefined where nothing is known. */
function placeIn(count, line, column) {
  const cell = cells.get(count);
  if (!cell?.first || !cell.second) return undefined;
  const middle = cell.second.findEntry(line - 1, column - 1 - (line === 1 ? cell.moved : 0));
  if (middle.originalLine === undefined) return undefined;
  const { originalLine, originalColumn } = cell.first.findEntry(middle.originalLine, middle.originalColumn);
  if (originalLine === undefined) return undefined;
  return { line: originalLine + 1 - prefixLines, column: originalColumn + 1 };
}

const own = path.join(__dirname, "../..") + path.sep;

/** Frames of node, of packages, of tslab and of mutwo itself are not the user's. */
const isInternal = (frame) =>
  /node:|node_modules[\\/]|<anonymous>\)?$|__mutwoEndable__/.test(frame) ||
  ["dist", "src"].some((folder) => frame.includes(`${own}${folder}${path.sep}`));

const textOf = (count, line) => cells.get(count)?.lines[line - 1]?.trim() ?? "";

/** A frame of a stack as people read it, and its place if it is one of a cell. */
function frameOf(text) {
  const found = /^\s*at (?:(?:async )?(.*?) \()?mutwo-cell-(\d+):(\d+):(\d+)\)?$/.exec(text);
  if (!found) return isInternal(text) ? undefined : { text: text.replace(/^\s*/, "  ") };
  const [, name, cell, line, column] = found;
  const count = Number(cell);
  const place = placeIn(count, Number(line), Number(column)) ?? { line: Number(line), column: Number(column) };
  // an `await` in a loop of cells makes frames without a function's name, and methods of the hidden exports
  const isFunction = name && !/^(eval|Object\.<anonymous>|<anonymous>|Array\.\w+)$/.test(name);
  const within = isFunction ? ` in ${name.replace(/^(exports|Object|Proxy)\./, "")}` : "";
  return {
    text: `  at cell [${count}], line ${place.line}${within}: ${textOf(count, place.line)}`,
    count,
    line: place.line,
  };
}

/** What to say of a value that a cell threw: name, message, the lines where, the line in the cell that ran. */
function describe(thrown, running) {
  const isError = thrown instanceof Error || typeof thrown?.stack === "string";
  if (!isError) {
    const text = util.inspect(thrown);
    return { ename: "Thrown", evalue: text, traceback: [`Thrown: ${text}`] };
  }
  const { name = "Error", message = "", stack = "" } = thrown;
  const frames = String(stack)
    .split("\n")
    .filter((line) => /^\s*at /.test(line))
    .map(frameOf)
    .filter((frame) => frame !== undefined)
    .filter(({ text }, i, all) => text !== all[i - 1]?.text);
  const shown = process.env.MUTWO_STACK ? String(stack).split("\n").slice(1) : frames.map(({ text }) => text);
  return {
    ename: String(name),
    evalue: String(message),
    traceback: [`${name}: ${message}`, ...shown],
    line: frames.find(({ count }) => count === running)?.line,
  };
}

/** The same of what the compiler says, as tslab hands it over: `file`, line, column, text. */
function describeDiagnostic(file, line, column, text, count) {
  const where = `${file ? `${file.trim()}, ` : ""}line ${line}, column ${column}`;
  const code = file ? [] : [`  at cell [${count}], line ${line}: ${textOf(count, line)}`];
  return {
    ename: "TypeScriptError",
    evalue: `${where}: ${text}`,
    traceback: [`TypeScriptError: ${text}${file ? ` (${where})` : ""}`, ...code],
    line: file ? undefined : line,
  };
}

module.exports = { describe, describeDiagnostic, named, remember };
