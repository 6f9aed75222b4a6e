import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  closeSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { gzipSync } from "node:zlib";
import { checkFile, openFile, readCompressed, readFile, readPart, readText } from "../src/files.js";
import { openOnnx } from "../src/model/onnx.js";
import { sha256Of } from "../src/model/read.js";
import { readSafetensors } from "../src/model/safetensors.js";
import { readNotebook } from "../src/notebook/ipynb.js";
import { readTables } from "../src/report/read-tables.js";
import { readRun } from "../src/run/read-run.js";
import { readDeviceSpec } from "../src/runtime/device-spec.js";
import { readRecording } from "../src/runtime/recording.js";
import { at } from "./at.js";
import { program } from "./program.js";

const folder = mkdtempSync(path.join(tmpdir(), "mutwo-files-"));
after(() => rmSync(folder, { recursive: true }));
const place = (name: string): string => path.join(folder, name);

/** A file without data of so many bytes. */
function sparse(name: string, bytes: number): string {
  writeFileSync(place(name), "");
  truncateSync(place(name), bytes);
  return place(name);
}

const skip = process.platform === "win32" && "no pipes and devices";

const pipe = place("pipe.json");
if (!skip) assert.equal(spawnSync("mkfifo", [pipe]).status, 0);

/** A link of a node table's name, with another beside it. */
function tableAt(file: string): string {
  for (const name of ["nodes.csv", "activations.csv"]) {
    rmSync(place(name), { force: true });
    symlinkSync(file, place(name));
  }
  return place("nodes.csv");
}

/** Everything that reads a file that a user names. */
const readers: Readonly<Record<string, (file: string) => unknown>> = {
  model: openOnnx,
  "model's hash": sha256Of,
  safetensors: readSafetensors,
  run: readRun,
  recording: readRecording,
  table: (file) => readTables(tableAt(file)),
  notebook: readNotebook,
  "device spec": readDeviceSpec,
};

for (const [what, read] of Object.entries(readers))
  test(`a ${what} is a regular file: no pipe that nobody writes to, no device`, { skip }, () => {
    assert.throws(() => read(pipe), { message: /^cannot read [\w ]+: \S+ \(a pipe, not a file\)$/ });
    assert.throws(() => read("/dev/zero"), { message: /^cannot read [\w ]+: \S+ \(a device, not a file\)$/ });
  });

test("a file of more bytes than its kind may have is refused before it is read", () => {
  const message = (kind: string, most: string) => ({
    message: new RegExp(`^cannot read ${kind}: \\S+ \\(2\\.79 GiB, at most ${most} are read\\)$`),
  });
  const large = sparse("large.json", 3e9);
  assert.throws(() => readRun(large), message("run", "477 MiB"));
  assert.throws(() => readRecording(large), message("recording", "477 MiB"));
  assert.throws(() => readNotebook(large), message("notebook", "477 MiB"));
  assert.throws(() => readTables(tableAt(large)), message("table", "477 MiB"));
  assert.throws(() => readDeviceSpec(large), message("device spec", "1.00 MiB"));
  assert.throws(() => openOnnx(large), { message: /^not an ONNX file: \S+ \(2\.79 GiB; 2 GiB and more need external/ });
  assert.throws(() => readSafetensors(sparse("large.safetensors", 2 ** 35)), {
    message: /^cannot read safetensors: \S+ \(32\.0 GiB, at most \S+ GiB are read\)$/,
  });
});

test("readCompressed(kind, file) stops unpacking at what the kind may have", () => {
  const file = place("bomb.recording");
  // members of a gzip file follow one another
  const member = gzipSync(Buffer.alloc(2 ** 26), { level: 9 });
  writeFileSync(file, Buffer.concat(Array.from({ length: 48 }, () => member)));
  const message = `cannot read recording: ${file} (unpacks to more than 477 MiB)`;
  assert.throws(() => readRecording(file), { message });
  writeFileSync(file, gzipSync("text"));
  assert.equal(readCompressed("recording", file).toString(), "text");
  writeFileSync(file, "text");
  assert.throws(() => readCompressed("recording", file), { code: "Z_DATA_ERROR" });
});

test("openFile(kind, file, most) and what reads by it: sockets, folders, what is not there, what is", async () => {
  const file = place("text.json");
  writeFileSync(file, "a text");
  assert.equal(readText("run", file), "a text");
  assert.deepEqual(readFile("run", file), Buffer.from("a text"));
  const { descriptor, bytes } = openFile("run", file, 6);
  assert.equal(bytes, 6);
  assert.equal(readPart(descriptor, 2, 100).toString(), "text");
  closeSync(descriptor);
  assert.throws(() => openFile("run", file, 5), { message: `cannot read run: ${file} (6 B, at most 5 B are read)` });
  assert.throws(() => checkFile("run", folder), { message: `cannot read run: ${folder} (EISDIR)` });
  assert.throws(() => checkFile("run", place("none")), { message: `cannot read run: ${place("none")} (ENOENT)` });
  checkFile("run", file);
  if (skip) return;
  const server = createServer().listen(place("socket"));
  await new Promise((resolve) => server.once("listening", resolve));
  assert.throws(() => checkFile("run", place("socket")), {
    message: `cannot read run: ${place("socket")} (not a file)`,
  });
  server.close();
});

test("commands refuse pipes and devices at once", { skip, timeout: 120_000 }, () => {
  const step = ["--loss", "mse", "--optimizer", "sgd"];
  const model = at("fixtures", "mlp.ts.onnx");
  for (const words of [
    ["inspect", pipe],
    ["profile", pipe, ...step],
    ["profile", model, ...step, "--backend", `replay:${pipe}`],
    ["profile", model, ...step, "--backend", "estimate", "--device-spec", pipe],
    ["verify", model, ...step, "--reference", pipe],
    ["plan", pipe, "--budget", "1GiB"],
    ["report", pipe],
    ["show", pipe],
    ["compare", pipe, pipe],
    ["notebook", "run", pipe],
    ["profile", model, ...step, "--record", pipe],
  ]) {
    const { status, stderr, signal } = spawnSync(process.execPath, [...program, ...words], {
      cwd: folder,
      encoding: "utf8",
      timeout: 30_000,
    });
    assert.deepEqual([status, signal], [2, null], `${words.join(" ")}: ${stderr}`);
    assert.match(stderr, /^mutwo: .*\(a pipe, not a file\)/m, words.join(" "));
  }
});

/** Files of src/ that read files otherwise: none that a user names as input. */
const others: Readonly<Record<string, string>> = {
  "files.ts": "this is where it is done",
  "writing.ts": "copies what was written",
  "run/folder.ts": "finds out whether a file can be written",
  "export/export-file.ts": "writes",
  "model/copies.ts": "writes",
  "plan/solver.ts": "what the solver's process wrote",
  "report/page.ts": "mutwo's own templates",
  "report/plotly.ts": "a package's file",
  "notebook/page.ts": "mutwo's own templates",
  "commands/topics.ts": "mutwo's own topics",
  "commands/sums.ts": "what it fetched",
  "runtime/gpu/kept.ts": "mutwo's own cache",
  "runtime/libraries/cuda-facts.ts": "what the kernel says",
  "runtime/libraries/cuda-places.ts": "what the kernel says",
};

test("files that users name are opened in one place", () => {
  const src = at("../src");
  const opens = readdirSync(src, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .filter((file) =>
      /\b(readFileSync|openSync|createReadStream|fs\/promises)\b/.test(readFileSync(path.join(src, file), "utf8")),
    )
    .map((file) => file.replaceAll(path.sep, "/"));
  assert.deepEqual(
    opens.filter((file) => others[file] === undefined),
    [],
  );
});
