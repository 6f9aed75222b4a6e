import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, beforeEach, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { type NotebookOptions, runNotebook } from "../../src/notebook/notebook.js";
import { at } from "../at.js";
import { tsx } from "../program.js";

// kernels make their folders below TMPDIR, so those of other programs are not seen here
const folder = mkdtempSync(path.join(tmpdir(), "mutwo-test-"));

process.env.TMPDIR = folder;

after(() => rmSync(folder, { recursive: true }));

const fixture = (name: string): string => at("fixtures/notebooks", `${name}.ipynb`);

const kernelFolders = (): string[] => readdirSync(folder).filter((name) => name.startsWith("mutwo-kernel-"));

interface Output {
  readonly output_type: string;
  readonly name?: string;
  readonly text?: readonly string[];
  readonly ename?: string;
  readonly evalue?: string;
  readonly traceback?: readonly string[];
  readonly data?: Readonly<Record<string, string>>;
}

interface Cell {
  readonly id?: string;
  readonly source: string | readonly string[];
  readonly outputs?: readonly Output[];
}

const output = path.join(folder, "output.ipynb");

beforeEach(() => rmSync(output, { force: true }));

const written = (): Cell[] => (JSON.parse(readFileSync(output, "utf8")) as { cells: Cell[] }).cells;

const outputs = (): (readonly Output[])[] => written().map((cell) => cell.outputs ?? []);

const run = (name: string, options: NotebookOptions = {}) => runNotebook(fixture(name), { output, ...options });

/** A notebook of the given code cells; the first is tagged as told. */
function notebook(sources: readonly string[], tag = "parameters", minor = 5): string {
  const cells = sources.map((source, i) => ({ cell_type: "code", metadata: i ? {} : { tags: [tag] }, source }));
  const file = path.join(folder, "input.ipynb");
  writeFileSync(file, JSON.stringify({ cells, metadata: {}, nbformat: 4, nbformat_minor: minor }));
  return file;
}

const isRunning = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

const until = async (holds: () => boolean): Promise<void> => {
  for (let i = 0; i < 200 && !holds(); i++) await pause(50);
  assert.ok(holds());
};

test("runNotebook(file) keeps all of 5000 lines that a cell prints in one burst", async () => {
  const seen: number[] = [];
  const result = await run("lines", {
    parameters: { lines: "5000", word: "row" },
    onCell: ({ index, ok }) => seen.push(ok ? index : -1),
  });
  assert.deepEqual(result, { ok: true, failedCell: null });
  assert.deepEqual(seen, [0, 1, 2, 3]);
  const [, , printed, value] = outputs();
  assert.deepEqual(
    printed?.map(({ output_type, name, text }) => [output_type, name, text?.length, text?.at(-1)]),
    [["stream", "stdout", 5000, "row 4999\n"]],
  );
  assert.match(value?.[0]?.text?.join("") ?? "", /6/);
});

test("runNotebook(file) records a failing cell's error and runs nothing after it", async () => {
  const result = await run("failing");
  assert.deepEqual(result, { ok: false, failedCell: { index: 1, message: "the cell failed on purpose" } });
  const [first, second, third] = outputs();
  assert.deepEqual(first?.[0]?.text, ["before\n"]);
  const { output_type, ename, evalue, traceback } = second?.at(-1) ?? {};
  assert.deepEqual([output_type, ename, evalue], ["error", "Error", "the cell failed on purpose"]);
  assert.ok(traceback?.includes("Error: the cell failed on purpose"));
  assert.deepEqual(third, []);
});

test("runNotebook(file) records what the compiler says of a cell, with its place", async () => {
  const { failedCell } = await run("errors");
  assert.equal(failedCell?.index, 0);
  assert.equal(failedCell?.message, "2:6 - Argument of type 'string' is not assignable to parameter of type 'number'.");
  assert.equal(outputs()[0]?.[0]?.ename, "TypeScriptError");
});

test("runNotebook(file) keeps displays, updates them in place, and calls the callbacks of write", async () => {
  assert.deepEqual(await run("displays"), { ok: true, failedCell: null });
  const [displays, figures, tables, writes] = outputs();
  assert.deepEqual(
    displays?.map(({ data }) => data),
    [{ "text/html": "<b>one</b>" }, { "text/plain": "second" }],
  );
  // the library (1.5 MB) comes with the first figure only
  const [first, second] = figures?.map(({ data }) => data ?? {}) ?? [];
  assert.deepEqual(first?.["application/vnd.plotly.v1+json"], {
    data: [{ type: "scatter", x: [1, 2], y: [3, 4] }],
    layout: { title: { text: "</script>" } },
  });
  assert.ok((first?.["text/html"]?.length ?? 0) > 1e6);
  assert.ok((second?.["text/html"]?.length ?? 0) < 1e3);
  assert.ok(first?.["text/html"]?.includes('"text":"\\u003c/script>"'));
  assert.deepEqual(
    [first?.["text/plain"], second?.["text/plain"]],
    ["Plotly figure: 1 trace", "Plotly figure: 0 traces"],
  );
  const [rows, frame] = tables?.map(({ data }) => data ?? {}) ?? [];
  assert.equal(rows?.["text/plain"], "name\tbytes\tms\na<b\t123456789\t0.123457\n1 more rows");
  assert.match(
    rows?.["text/html"] ?? "",
    /<td style="text-align:left">a&lt;b<\/td><td style="text-align:right">123456789</,
  );
  assert.equal(frame?.["text/plain"], "n\n1\n2");
  assert.deepEqual(writes?.[0]?.text, ["flushed\n", "callback\n"]);
});

test("runNotebook(file, {parameters}) assigns literals of the declared types, and again in place of the last", async () => {
  const input = notebook(["let count = 1, text = 'a', flag = true;\nlet free: unknown;", "[count, text, flag, free]"]);
  const parameters = { count: "-2e1", text: "5", flag: "false", free: "x" };
  await runNotebook(input, { output, parameters });
  await runNotebook(output, { output, parameters: { ...parameters, free: "7" } });
  const cells = written();
  assert.equal(cells.length, 3);
  assert.equal(cells[1]?.source, 'count = -20;\ntext = "5";\nflag = false;\nfree = 7;');
  assert.equal(cells[1]?.id, "injected-parameters");
  assert.deepEqual(cells[2]?.outputs?.[0]?.text, ["[ -20, '5', false, 7 ]\n"]);
});

test("runNotebook(file) says in one line what is wrong with its input", async () => {
  const bad = path.join(folder, "bad.ipynb");
  const reject = async (text: string, message: RegExp): Promise<void> => {
    writeFileSync(bad, text);
    await assert.rejects(runNotebook(bad, { output }), message);
  };
  await assert.rejects(runNotebook(path.join(folder, "none.ipynb")), /^Error: cannot read notebook: .* \(ENOENT\)$/);
  await reject("# markdown", /^Error: not a notebook: .*bad\.ipynb$/);
  await reject("null", /^Error: not a notebook of format 4: .*bad\.ipynb$/);
  await reject('{"nbformat": 3, "worksheets": []}', /^Error: not a notebook of format 4: .*bad\.ipynb$/);
  await reject('{"nbformat": 4}', /^Error: not a notebook, it has no cells: .*bad\.ipynb$/);
  await reject('{"nbformat": 4, "cells": [{}]}', /^Error: not a notebook, it has no cells: .*bad\.ipynb$/);
  const parameter = (parameters: Record<string, string>, message: RegExp) =>
    assert.rejects(run("lines", { parameters }), message);
  await parameter({ colour: "red" }, /^Error: unknown parameter \(there are lines, word\): colour$/);
  await parameter({ lines: "many" }, /^Error: parameter is not a number: lines=many$/);
  await assert.rejects(runNotebook(notebook(["const a = 1;"]), { parameters: { a: "2" } }), /declared const: a$/);
  await assert.rejects(
    runNotebook(notebook(["let a = 1;"], "other"), { parameters: { a: "2" } }),
    /tagged parameters: a$/,
  );
  await assert.rejects(run("lines", { output: folder }), /^Error: cannot write notebook \(EISDIR\): /);
  await assert.rejects(run("lines", { output: path.join(folder, "none/o.ipynb") }), /notebook \(ENOENT\): /);
  await assert.rejects(run("lines", { cwd: path.join(folder, "none") }), /^Error: kernel died \(spawn .* ENOENT\)$/);
  assert.ok(!existsSync(output));
  assert.deepEqual(kernelFolders(), []);
});

test("runNotebook(file) says that the kernel died, and keeps the outputs made until then", async () => {
  const input = notebook(["let status = 0;", 'console.log("before");', "process.exit(status);"]);
  await assert.rejects(
    runNotebook(input, { output, parameters: { status: "3" } }),
    /^Error: kernel died \(exit status 3\) \(cell 3\)$/,
  );
  assert.deepEqual(outputs()[2]?.[0]?.text, ["before\n"]);
  assert.deepEqual(kernelFolders(), []);
});

for (const busy of ["true", "false"]) {
  const cell = busy === "true" ? "computes" : "waits";
  const pidFile = path.join(folder, `${cell}.pid`);
  const pid = (): number => Number(readFileSync(pidFile, "utf8"));

  test(`runNotebook(file, {timeoutMs}) ends a kernel whose cell ${cell} too long`, async () => {
    await assert.rejects(
      run("endless", { timeoutMs: 1500, parameters: { pidFile, busy } }),
      /^Error: kernel gave no answer within 1500 ms: execute_request \(cell 3\)$/,
    );
    assert.deepEqual(outputs()[2]?.[0]?.text, ["before\n"]);
    assert.equal(isRunning(pid()), false);
    assert.deepEqual(kernelFolders(), []);
  });

  test(`runNotebook(file, {signal}) ends a kernel whose cell ${cell}, when told so`, async () => {
    rmSync(pidFile, { force: true });
    const controller = new AbortController();
    const running = run("endless", { signal: controller.signal, parameters: { pidFile, busy } });
    void until(() => existsSync(pidFile)).then(() => controller.abort(new Error("interrupted (SIGINT)")));
    await assert.rejects(running, /^Error: interrupted \(SIGINT\)$/);
    assert.equal(isRunning(pid()), false);
    assert.deepEqual(kernelFolders(), []);
  });
}

test("runNotebook(file) leaves no kernel and no folder behind, even if its own process is killed", async () => {
  const pidFile = path.join(folder, "orphan.pid");
  const script = `require(${JSON.stringify(at("../src/notebook/notebook.ts"))}).runNotebook(${JSON.stringify(fixture("endless"))}, ${JSON.stringify(
    {
      output,
      parameters: { pidFile, busy: "false" },
    },
  )})`;
  const child = spawn(process.execPath, [...tsx, "--eval", script], { stdio: "inherit" });
  await until(() => existsSync(pidFile) && readFileSync(pidFile, "utf8") !== "");
  const pid = Number(readFileSync(pidFile, "utf8"));
  assert.ok(isRunning(pid));
  child.kill("SIGKILL");
  await until(() => !isRunning(pid));
  assert.deepEqual(kernelFolders(), []);
});

test("the kernel finds variables of earlier cells in shorthand properties", async () => {
  const input = notebook([
    "import { sep } from 'node:path';\nlet a = 1, b = 2;",
    "({ a, b = a } = { a: 5 } as { a: number; b?: number });\nconst own = 3;",
    "const show = (b: number) => ({ a, b, own, deep: { sep } });\nconsole.log(JSON.stringify(show(4)), b);",
  ]);
  assert.deepEqual(await runNotebook(input, { output }), { ok: true, failedCell: null });
  assert.deepEqual(outputs().at(-1)?.[0]?.text, ['{"a":5,"b":4,"own":3,"deep":{"sep":"/"}} 5\n']);
});

test("the kernel imports a package by its own name and `exports`, and runs where its package.json is", async () => {
  const shapes = path.join(folder, "shapes");
  const put = (name: string, text: string): void => {
    mkdirSync(path.dirname(path.join(shapes, name)), { recursive: true });
    writeFileSync(path.join(shapes, name), text);
  };
  const entry = (name: string) => ({ types: `./dist/${name}.d.ts`, default: `./dist/${name}.js` });
  put("package.json", JSON.stringify({ name: "shapes", exports: { ".": entry("index"), "./round": entry("round") } }));
  put("dist/index.d.ts", "export declare function area(width: number): number;\n");
  put("dist/index.js", "exports.area = (width) => width * width;\n");
  put("dist/round.d.ts", "export declare const pi: number;\n");
  put("dist/round.js", "exports.pi = 3;\n");
  const source =
    'import { area } from "shapes";\nimport { pi } from "shapes/round";\nconsole.log(area(2) * pi, process.cwd());';
  put("notebooks/deep/own.ipynb", readFileSync(notebook([source]), "utf8"));
  const input = path.join(shapes, "notebooks/deep/own.ipynb");
  assert.deepEqual(await runNotebook(input, { output }), { ok: true, failedCell: null });
  assert.deepEqual(outputs()[0]?.[0]?.text, [`12 ${shapes}\n`]);
  const elsewhere = await runNotebook(input, { output, cwd: folder });
  assert.match(elsewhere.failedCell?.message ?? "", /^1:22 - Cannot find module 'shapes'/);
});

test("notebooks/01-profile.ipynb runs from top to bottom on the built package", async () => {
  const result = await runNotebook("notebooks/01-profile.ipynb", {
    output,
    parameters: { batch: "16", budget: "80%" },
  });
  const cells = outputs();
  const report = /^(reports\/.+)\/report\.html\n$/.exec(cells.at(-1)?.[0]?.text?.join("") ?? "");
  if (report?.[1]) rmSync(report[1], { recursive: true });
  assert.deepEqual(result, { ok: true, failedCell: null });
  assert.ok(report);
  const all = cells.flat();
  assert.ok(all.some(({ text }) => /^\d+ tensors compared bit by bit, 0 differ\n$/.test(text?.join("") ?? "")));
  assert.equal(all.filter(({ data }) => data && "application/vnd.plotly.v1+json" in data).length, 2);
  assert.ok(all.some(({ data }) => data?.["text/plain"]?.startsWith("rank\tnode_name\t")));
});

test("notebooks/*.ipynb are kept without outputs, for the kernel mutwo", () => {
  for (const name of readdirSync("notebooks").filter((file) => file.endsWith(".ipynb"))) {
    const { cells, metadata } = JSON.parse(readFileSync(path.join("notebooks", name), "utf8")) as {
      cells: (Cell & { readonly execution_count?: number | null })[];
      metadata: { kernelspec: object };
    };
    assert.deepEqual(
      cells.filter(({ outputs, execution_count }) => outputs?.length || execution_count),
      [],
    );
    const kernelspec = { name: "mutwo", display_name: "TypeScript (mutwo)", language: "typescript" };
    assert.deepEqual(metadata.kernelspec, kernelspec);
  }
});
