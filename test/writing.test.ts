import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import {
  folderMode,
  isSameFile,
  replaceFile,
  targetOf,
  temporaryFolder,
  writeDurably,
  writeMeanwhile,
  writeOnce,
  writeParts,
  writeTogether,
  writeWhole,
} from "../src/writing.js";

const folder = mkdtempSync(path.join(tmpdir(), "mutwo-files-"));
const at = (name: string): string => path.join(folder, name);
const modeOf = (name: string): number => statSync(at(name)).mode & 0o777;

test("writeWhole(file) keeps the mode of a file that is there, and gives a new one what the user's mask says", () => {
  writeFileSync(at("private"), "old");
  chmodSync(at("private"), 0o600);
  writeWhole(at("private"), "new");
  assert.deepEqual([readFileSync(at("private"), "utf8"), modeOf("private")], ["new", 0o600]);
  const mask = process.umask(0o027);
  try {
    writeWhole(at("fresh"), "new");
    assert.deepEqual([modeOf("fresh"), folderMode()], [0o640, 0o750]);
  } finally {
    process.umask(mask);
  }
  assert.deepEqual(readdirSync(folder).sort(), ["fresh", "private"]);
});

test("writeWhole(file) writes through links, to what is not there yet too, and into files with other names", () => {
  mkdirSync(at("elsewhere"));
  symlinkSync("elsewhere/target", at("link"));
  for (const text of ["first", "second"]) {
    writeWhole(at("link"), text);
    assert.ok(lstatSync(at("link")).isSymbolicLink());
    assert.equal(readFileSync(at("elsewhere/target"), "utf8"), text);
  }
  assert.equal(targetOf(at("link")), at("elsewhere/target"));
  linkSync(at("elsewhere/target"), at("second-name"));
  writeWhole(at("link"), "third");
  assert.equal(readFileSync(at("second-name"), "utf8"), "third");
  assert.ok(isSameFile(at("link"), at("second-name")));
  assert.ok(!isSameFile(at("link"), at("private")));
});

test("replaceFile(from, file) writes into what is no file, and leaves it there", async () => {
  const pipe = at("pipe");
  if (spawnSync("mkfifo", [pipe]).status !== 0) return; // no such thing here
  const reader = spawn("cat", [pipe], { stdio: ["ignore", "pipe", "inherit"] });
  const said = once(reader.stdout, "data");
  writeFileSync(at("made"), "through");
  replaceFile(at("made"), pipe);
  assert.equal(String((await said)[0]), "through");
  assert.ok(lstatSync(pipe).isFIFO());
  assert.ok(!existsSync(at("made")));
});

test("temporaryFolder(parent) removes those whose owners are dead, of this machine alone", () => {
  const own = temporaryFolder(folder);
  const place = path.basename(own).split("-")[3] as string;
  const { pid: dead } = spawnSync(process.execPath, ["-e", ""]);
  const names = {
    dead: `.mutwo-${dead}-1-${place}-abcdef`,
    alive: `.mutwo-${process.ppid}-0-${place}-abcdef`,
    elsewhere: `.mutwo-${dead}-1-00000000-abcdef`,
    foreign: ".mutwo-abcdef",
    other: `.mutwo-highs-${dead}-1-${place}-abcdef`,
  };
  for (const name of Object.values(names)) mkdirSync(at(path.join(name, "inside")), { recursive: true });
  rmSync(temporaryFolder(folder), { recursive: true });
  const left = Object.entries(names).flatMap(([what, name]) => (existsSync(at(name)) ? [what] : []));
  assert.deepEqual(left, ["alive", "elsewhere", "foreign", "other"]);
  assert.ok(existsSync(own));
});

test("temporaryFolder(parent) removes one whose owner's number another process has got since, whatever the clock says", {
  skip: process.platform !== "linux",
}, () => {
  const own = temporaryFolder(folder);
  const [, , start, place] = path.basename(own).split("-") as [string, string, string, string];
  assert.notEqual(start, "0");
  const another = at(`.mutwo-${process.pid}-${Number(start) - 1}-${place}-abcdef`);
  mkdirSync(another);
  for (const name of [another, own]) utimesSync(name, 1, 1);
  rmSync(temporaryFolder(folder), { recursive: true });
  assert.deepEqual(
    [another, own].map((name) => existsSync(name)),
    [false, true],
  );
});

test("writeWhole(file) that the system refuses says which file, and why", {
  skip: process.platform !== "linux",
}, () => {
  assert.throws(() => writeWhole("/dev/full", "x"), { message: "cannot write /dev/full (ENOSPC)" });
  assert.throws(() => writeWhole("/nowhere/at/all", "x"), { message: "cannot write /nowhere/at/all (ENOENT)" });
});

test("writeMeanwhile(file, texts) writes them one after the other; what the system refuses is told who waits", async () => {
  await writeMeanwhile(at("meanwhile"), "ä".repeat(100_000), "", "\n");
  assert.equal(readFileSync(at("meanwhile"), "utf8"), `${"ä".repeat(100_000)}\n`);
  await assert.rejects(writeMeanwhile(at("none/a"), "x"), { code: "ENOENT" });
});

test("writeDurably(file) leaves the file that was there, and nothing else, where writing fails", () => {
  mkdirSync(at("durable"));
  const file = at("durable/file");
  writeDurably(file, (made) => writeParts(made, [Buffer.from("first "), Buffer.from("part")]));
  assert.equal(readFileSync(file, "utf8"), "first part");
  const failing = (code: string) => (): void =>
    writeDurably(file, (made) => {
      writeFileSync(made, "half of the sec");
      throw Object.assign(new Error(code), { code });
    });
  assert.throws(failing("ENOSPC"), { message: `disk full: ${file}` });
  assert.throws(failing("EDQUOT"), { message: `disk full: ${file}` });
  assert.throws(failing("EIO"), { message: `cannot write ${file} (EIO)` });
  assert.throws(() => writeDurably(at("no folder/file"), () => {}), {
    message: `cannot write ${at("no folder/file")} (ENOENT)`,
  });
  assert.equal(readFileSync(file, "utf8"), "first part");
  assert.deepEqual(readdirSync(at("durable")), ["file"]);
});

test("writeTogether(file, fill) puts all files in their places, the file itself last, or none", () => {
  const folder = mkdtempSync(at("together-"));
  const [file, beside, below] = ["model", "model.data", "deep/er"].map((name) => path.join(folder, name)) as [
    string,
    string,
    string,
  ];
  writeFileSync(file, "old");
  assert.throws(
    () =>
      writeTogether(file, (place) => {
        writeFileSync(place(beside), "data");
        throw new Error("no more");
      }),
    /^Error: no more$/,
  );
  assert.deepEqual([readdirSync(folder), readFileSync(file, "utf8")], [["model"], "old"]);
  writeTogether(file, (place) => {
    writeFileSync(place(file), "new");
    for (const other of [beside, below]) writeFileSync(place(other), other);
  });
  assert.deepEqual(readdirSync(folder).sort(), ["deep", "model", "model.data"]);
  assert.deepEqual(
    [file, beside, below].map((one) => readFileSync(one, "utf8")),
    ["new", beside, below],
  );
  rmSync(folder, { recursive: true });
});

test("writeOnce(file, content, folder): who is first writes, the others change nothing, and nothing else is left", () => {
  const file = path.join(folder, "once");
  const made = path.join(folder, "made once");
  mkdirSync(made);
  assert.deepEqual([writeOnce(file, "first", made), writeOnce(file, "second", made)], [true, false]);
  assert.equal(readFileSync(file, "utf8"), "first");
  assert.deepEqual(readdirSync(made), []);
  assert.throws(() => writeOnce(path.join(folder, "none", "file"), "x", made), {
    message: /^cannot write .*file \(ENOENT\)$/,
  });
  assert.deepEqual(readdirSync(made), []);
});
