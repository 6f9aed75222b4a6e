import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import {
  doneIds,
  openFolder,
  putFault,
  putResult,
  readFaults,
  readResult,
  resultFile,
} from "../../src/sweep/result.js";
import { resultOf, sweepFolder } from "../sweep-of.js";

const folder = sweepFolder("results");

const temporary = openFolder(folder);

test("putResult(…) leaves one result: who is second changes nothing", () => {
  assert.equal(putResult(folder, resultOf({ id: "a" }, { tookMs: 1 }), temporary), true);
  assert.equal(putResult(folder, resultOf({ id: "a" }, { tookMs: 2 }), temporary), false);
  assert.equal(readResult(folder, "a").tookMs, 1);
  assert.deepEqual([...doneIds(folder)], ["a"]);
  assert.deepEqual(readdirSync(temporary), []);
});

test("putFault(…) counts the attempts of a point", () => {
  const fault = (error: string) => putFault(folder, { id: "b", error, host: "here" }, temporary);
  assert.deepEqual([fault("first"), fault("second")], [1, 2]);
  for (let i = 3; i <= 11; i++) fault(`${i}`);
  assert.deepEqual(
    readFaults(folder)
      .get("b")
      ?.map(({ error }) => error),
    ["first", "second", "3", "4", "5", "6", "7", "8", "9", "10", "11"],
  );
  writeFileSync(path.join(folder, "faults", "b.12.json"), "{");
  assert.equal(readFaults(folder).get("b")?.length, 11);
});

test("readResult(…): one line for a result that is damaged, with what to do", () => {
  putResult(folder, resultOf({ id: "c" }), temporary);
  const file = resultFile(folder, "c");
  const text = readFileSync(file, "utf8");
  const saying = (content: string, message: RegExp): void => {
    writeFileSync(file, content);
    assert.throws(() => readResult(folder, "c"), { message });
  };
  saying(
    text.slice(0, 40),
    /^sweep's result is damaged: not JSON or truncated \(.*remove it to have the point done again\)$/,
  );
  saying("", /^sweep's result is damaged: not JSON/);
  saying("null", /^sweep's result is damaged: it is null/);
  saying(text.replace('"tookMs":5', '"tookMs":-5'), /tookMs is -5, not a number from 0 on/);
  saying(text.replace('"id":"c"', '"id":"d"'), /^sweep's result is damaged: of another point/);
});

test("openFolder(folder): one line where nothing can be made; doneIds of a folder without results is empty", () => {
  const file = path.join(folder, "file");
  writeFileSync(file, "");
  assert.throws(() => openFolder(file), { message: /^output folder not writable: .*file \(E(NOTDIR|EXIST)\)$/ });
  const empty = path.join(folder, "empty");
  mkdirSync(empty);
  assert.equal(doneIds(empty).size, 0);
  assert.equal(readFaults(empty).size, 0);
  assert.ok(!existsSync(path.join(empty, "results")));
});
