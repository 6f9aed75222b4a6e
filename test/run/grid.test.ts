import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { readPoints, sweepPoints } from "../../src/run/grid.js";
import { at } from "../at.js";
import { goldenRun } from "../golden-run.js";

const folder = mkdtempSync(path.join(tmpdir(), "mutwo-grid-"));

after(() => rmSync(folder, { recursive: true }));

const saved = path.join(folder, "run.json");

writeFileSync(saved, JSON.stringify(goldenRun("resnet-h100")));

const calls = path.join(folder, "calls");

const script = path.join(folder, "mutwo.cjs");

// stands for the command line: counts its calls, fails for a batch of 13, is killed for one of 14
writeFileSync(
  script,
  `const words = process.argv.slice(2).join(" ");
require("node:fs").appendFileSync(${JSON.stringify(calls)}, words + "\\n");
if (words.includes("batch=14")) process.kill(process.pid, "SIGKILL");
if (words.includes("batch=13")) { console.error("mutwo: out of memory: 13"); process.exitCode = 2; }
else {
  console.log(JSON.stringify({ run: ${JSON.stringify(saved)} }));
  if (words.includes("60%")) process.exitCode = 1;
}`,
);

const mutwo = [process.execPath, script] as const;

const options = (batch: number, budget?: string) => ({ loss: "ce", optimizer: "sgd", dims: { batch }, budget });

const model = at("fixtures/mlp.ts.onnx");

const callCount = (): number => (existsSync(calls) ? readFileSync(calls, "utf8").trim().split("\n").length : 0);

test("sweepPoints(…) measures each point once; what failed is said, and tried again", async () => {
  const out = path.join(folder, "once");
  const points = [options(16, "80%"), options(4), options(13), options(14), options(4, "60%"), options(4, "100%")];
  const stages: string[] = [];
  await sweepPoints(model, points, { folder: out, mutwo, onProgress: (stage) => stages.push(stage) });
  assert.deepEqual(stages.slice(0, 2), ["batch 16, 80%", "batch 4"]);
  assert.equal(callCount(), points.length);
  const read = readPoints(out);
  assert.deepEqual(
    read.map(({ dims, budget, error }) => [dims.batch, budget, error]),
    [
      [4, null, undefined],
      [4, "60%", undefined],
      [4, "100%", undefined],
      [13, null, "out of memory: 13"],
      [14, null, "ended with status SIGKILL"],
      [16, "80%", undefined],
    ],
  );
  assert.equal(read[0]?.figures.peakBytes, goldenRun("resnet-h100").before.arenaBytes);
  assert.match(read[0]!.command, /^mutwo profile .*mlp\.ts\.onnx --loss ce --optimizer sgd --dim batch=4$/);
  await sweepPoints(model, points, { folder: out, mutwo });
  assert.equal(callCount(), points.length + 2, "only the two that failed");
  assert.ok(readdirSync(path.join(out, "points")).every((name) => name.endsWith(".json")));
});

test("sweepPoints(…) stops between points, and goes on later", async () => {
  const out = path.join(folder, "stopped");
  const points = [options(1), options(2), options(3)];
  const controller = new AbortController();
  const onProgress = (_: string, done: number): void => {
    if (done === 2) controller.abort(new Error("stopped"));
  };
  await assert.rejects(sweepPoints(model, points, { folder: out, mutwo, signal: controller.signal, onProgress }), {
    message: "stopped",
  });
  assert.equal(readPoints(out).length, 2);
  const before = callCount();
  await sweepPoints(model, points, { folder: out, mutwo });
  assert.deepEqual([readPoints(out).length, callCount() - before], [3, 1]);
});

test("sweepPoints(…), readPoints(…): one line for a model or a folder that is not there", async () => {
  await assert.rejects(sweepPoints("none.onnx", [], { folder, mutwo }), { message: /^cannot read model: none\.onnx/ });
  assert.throws(() => readPoints(path.join(folder, "none")), { message: /^no sweep here: / });
  const out = path.join(folder, "once");
  writeFileSync(path.join(out, "points", "broken.json"), "{");
  assert.throws(() => readPoints(out), { message: /^point of a sweep cannot be read: .*broken\.json$/ });
});
