import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { at } from "./at.js";
import { descendants, isThere } from "./processes.js";
import { program } from "./program.js";

const place = mkdtempSync(path.join(tmpdir(), "mutwo-killed-"));
after(() => rmSync(place, { recursive: true }));

const [out, temporary] = ["out", "temporary"].map((name) => path.join(place, name)) as [string, string];
for (const folder of [out, temporary]) mkdirSync(folder);

const words = [
  ...[...program, "profile", at("fixtures/mlp.ts.onnx"), "--loss", "mse", "--optimizer", "sgd"],
  ...["--out", out],
];
const env = { ...process.env, TMPDIR: temporary };

/** Processes that were started with that temporary folder, whoever their parent is now. */
const ofRun = (): number[] =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, "utf8").includes(`TMPDIR=${temporary}`);
      } catch {
        return false;
      }
    })
    .map(Number)
    .filter(isThere);

const temporaries = (): string[] =>
  [out, temporary].flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((name) => /(^|\/)(\.mutwo-|mutwo-)[^/]*$/.test(name))
      .map((name) => path.join(path.basename(folder), name)),
  );

test("mutwo profile killed at any moment leaves no process, and no temporary folder after the next run", {
  skip: process.platform !== "linux" && "for Linux only",
  timeout: 600_000,
}, async () => {
  // how long a whole run takes here, with all that is unpacked once
  const began = performance.now();
  assert.equal(spawnSync(process.execPath, words, { env, stdio: "ignore" }).status, 0);
  const wholeMs = performance.now() - began;
  assert.deepEqual([ofRun(), temporaries()], [[], []]);

  let left = 0;
  let browsers = 0;
  for (const share of [0.3, 0.6, 0.85]) {
    const child = spawn(process.execPath, words, { env, stdio: "ignore" });
    await Promise.race([setTimeout(share * wholeMs), once(child, "exit")]);
    const started = descendants(child.pid as number);
    child.kill("SIGKILL");
    if (started.length > 3) browsers++; // a browser is several processes
    const remaining = (): number[] => [...new Set([...started.filter(isThere), ...ofRun()])];
    for (let tries = 0; tries < 100 && remaining().length; tries++) await setTimeout(100);
    assert.deepEqual(remaining(), [], `killed after ${share} of a run`);
    left = Math.max(left, temporaries().length);
  }
  // else nothing was tried
  assert.ok(left > 0, "no killed run left a folder");
  assert.ok(browsers > 0, "no run was killed while it had a browser");
  assert.equal(spawnSync(process.execPath, words, { env, stdio: "ignore" }).status, 0);
  assert.deepEqual(temporaries(), []);
});
