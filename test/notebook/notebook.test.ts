import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, beforeEach, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { type NotebookOptions, runNotebook } from "../../src/notebook/notebook.js";
import { writeNotebookReport } from "../../src/notebook/page.js";
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
  readonly data?: Readonly<Record<string, string | readonly string[]>>;
}

/** What a front end without HTML shows of an output. */
const textOf = (output?: Output): string => [output?.data?.["text/plain"] ?? ""].flat().join("");

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
  for (let i = 0; i < 1200 && !holds(); i++) await pause(50);
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
  assert.match(textOf(value?.[0]), /6/);
});

test("runNotebook(file) records a failing cell's error and runs nothing after it", async () => {
  const result = await run("failing");
  assert.deepEqual(result, { ok: false, failedCell: { index: 1, message: "the cell failed on purpose", line: 1 } });
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
  assert.equal(
    failedCell?.message,
    "line 2, column 6: Argument of type 'string' is not assignable to parameter of type 'number'.",
  );
  assert.equal(outputs()[0]?.[0]?.ename, "TypeScriptError");
});

test("runNotebook(file) keeps displays, updates them in place, and calls the callbacks of write", async () => {
  assert.deepEqual(await run("displays"), { ok: true, failedCell: null });
  const [displays, figures, tables, writes] = outputs();
  assert.deepEqual(
    displays?.map(({ data }) => data),
    [{ "text/html": "<b>one</b>" }, { "text/plain": ["second"] }],
  );
  // the library comes with the first figure only
  const [first, second] = figures ?? [];
  assert.deepEqual(first?.data?.["application/vnd.plotly.v1+json"], {
    data: [{ type: "scatter", x: [1, 2], y: [3, 4] }],
    layout: { title: { text: "</script>" } },
  });
  assert.ok((first?.data?.["text/html"]?.length ?? 0) > 4e5);
  assert.ok((second?.data?.["text/html"]?.length ?? 0) < 4e3);
  assert.deepEqual([textOf(first), textOf(second)], ["Plotly figure: </script> (1 trace)", "Plotly figure: 0 traces"]);
  assert.ok(statSync(output).size < 1e6);
  const [rows, frame] = tables ?? [];
  assert.match(textOf(rows), /^ +name +bytes +ms\n0 +a<b +123456789 +0\.123457\n2 rows × 3 columns, the first 1 rows$/);
  assert.match(String(rows?.data?.["text/html"]), /<td style="text-align:left">a&lt;b<\/td>.*>123,456,789</);
  assert.match(textOf(frame), /^ +n\n0 +1\n1 +2\n/);
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
  assert.equal(textOf(cells[2]?.outputs?.[0]), "[ -20, '5', false, 7 ]");
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
  await reject('{"nbformat": 4}', /^Error: not a notebook: cells is missing \(.*bad\.ipynb\)$/);
  await reject(
    '{"nbformat": 4, "cells": [{}]}',
    /^Error: not a notebook: cells\[0\]\.cell_type is missing \(.*bad\.ipynb\)$/,
  );
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
  assert.match(elsewhere.failedCell?.message ?? "", /^line 1, column 22: Cannot find module 'shapes'/);
});

test("writeNotebookReport(file) makes HTML and PDF of an executed notebook beside it", async () => {
  await run("displays");
  assert.deepEqual(
    await writeNotebookReport(output),
    ["html", "pdf"].map((kind) => output.replace(/ipynb$/, kind)),
  );
  assert.equal(
    readFileSync(output.replace(/ipynb$/, "pdf"))
      .subarray(0, 5)
      .toString(),
    "%PDF-",
  );
});

const stories = readdirSync("notebooks").filter((file) => file.endsWith(".ipynb"));

/** What makes the stories short. */
const short: Readonly<Record<string, Record<string, string>>> = {
  "01-profile.ipynb": { model: at("fixtures/resnet_bottleneck_dynamic.onnx"), batch: "8" },
  "06-your-own-model.ipynb": { model: at("fixtures/resnet_bottleneck_dynamic.onnx") },
  "09-several-models.ipynb": { count: "400", epochs: "1", batch: "10" },
};

/** What the outputs of a story have to say. */
const says: Readonly<Record<string, (outputs: readonly Output[]) => void>> = {
  "07-train.ipynb"(outputs) {
    const [, accuracy, said] = /'by ONNX Runtime': (\S+), 'by the training': (\S+) /.exec(textOf(outputs.at(-1))) ?? [];
    assert.ok(Number(accuracy) >= 0.97, `accuracy ${accuracy}`);
    assert.equal(accuracy, said);
    assert.match(outputs.map(textOf).join("\n"), /^best: fits 7\.\d+ MiB, predicted peak [67]\.\d+ MiB$/m);
  },
  "08-sweep.ipynb"(outputs) {
    const [said, table] = outputs.map(textOf);
    assert.equal(said, "'24 points, 4 to measure'");
    assert.equal(table?.match(/ (done|does not fit)$/gm)?.length, 24, table);
    // each is shown once, and nothing of what shows them
    assert.doesNotMatch(outputs.map(textOf).join("\n"), /update:/);
  },
  "09-several-models.ipynb"(outputs) {
    const text = outputs.map(textOf).join("\n");
    assert.match(text, /^'\d{3} tensors compared with the models alone: worst relative error \d\.\de[-+]\d'$/m);
    assert.match(text, /^0 +m0 +1e-1 .* dropped$/m);
    assert.match(text, /^3 +m3 +3e-3 .* trained$/m);
  },
};

for (const name of stories)
  test(`notebooks/${name} runs from top to bottom on the built package`, async () => {
    const result = await runNotebook(path.join("notebooks", name), { output, parameters: short[name], pictures: true });
    assert.deepEqual(result, { ok: true, failedCell: null });
    assert.ok(statSync(output).size < 1e6, `${statSync(output).size} bytes`);
    const results = outputs().flat();
    assert.ok(results.some(({ data }) => data && "text/html" in data));
    assert.ok(!results.some(({ output_type, name }) => output_type === "stream" && name === "stderr"));
    says[name]?.(results);
  });

test("a wrong type of a story's parameter is refused before anything runs", async () => {
  const wrong = runNotebook("notebooks/01-profile.ipynb", { output, parameters: { batch: "many" } });
  await assert.rejects(wrong, /^Error: parameter is not a number: batch=many$/);
});

test("notebooks/*.ipynb hold their outputs and counts, small, without paths of a machine, for the kernel mutwo", () => {
  assert.equal(stories.length, 9);
  for (const name of stories) {
    const text = readFileSync(path.join("notebooks", name), "utf8");
    const { cells, metadata } = JSON.parse(text) as {
      cells: (Cell & { readonly cell_type: string; readonly execution_count?: number | null })[];
      metadata: { kernelspec: object };
    };
    const code = cells.filter(({ cell_type }) => cell_type === "code");
    assert.deepEqual(
      code.map(({ execution_count }) => execution_count),
      code.map((_, i) => i + 1),
      name,
    );
    assert.ok(
      code.some(({ outputs = [] }) => outputs.some(({ output_type }) => output_type === "execute_result")),
      name,
    );
    assert.ok(!code.some(({ outputs = [] }) => outputs.some(({ output_type }) => output_type === "error")), name);
    assert.ok(text.length < 700_000, `${name}: ${text.length}`);
    assert.doesNotMatch(text, /\/(tmp|home|root|work)\//, name);
    const kernelspec = { name: "mutwo", display_name: "TypeScript (mutwo)", language: "typescript" };
    assert.deepEqual(metadata.kernelspec, kernelspec);
  }
});
