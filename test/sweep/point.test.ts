import assert from "node:assert/strict";
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { after, test } from "node:test";
import { readRun } from "../../src/run/read-run.js";
import { planRun } from "../../src/run/replan.js";
import { type Manifest, type Wanted, writeManifest } from "../../src/sweep/manifest.js";
import { keepFailure, runPoint } from "../../src/sweep/point.js";
import { openFolder, readFaults, readResult, resultFile } from "../../src/sweep/result.js";
import { dynamicModel, sweepFolder, wanted } from "../sweep-of.js";

const made: string[] = [];

after(() => {
  for (const folder of made) rmSync(folder, { recursive: true, force: true });
});

function sweepOf(name: string, wants: readonly Wanted[]): { manifest: Manifest; temporary: string } {
  const manifest = writeManifest(sweepFolder(name), wants);
  const temporary = openFolder(manifest.folder);
  made.push(temporary);
  return { manifest, temporary };
}

const run = ({ manifest, temporary }: ReturnType<typeof sweepOf>, index: number, retries = 2) =>
  runPoint(manifest, manifest.points[index]!, { temporary, retries });

test("runPoint(…) leaves one result; again it does nothing; points that differ in their plan share a measurement", async () => {
  const sweep = sweepOf("point", [wanted(2), wanted(2, "90%"), wanted(2, "1%")]);
  const { folder, points } = sweep.manifest;
  for (const index of [0, 1, 2]) assert.deepEqual(await run(sweep, index), { state: "done" });
  assert.deepEqual(readdirSync(path.join(folder, "runs")), [`${points[0]?.profile}.json`]);
  const shared = readRun(path.join(folder, "runs", `${points[0]?.profile}.json`));
  const results = points.map(({ id }) => readResult(folder, id));
  assert.deepEqual(
    results.map(({ feasible }) => feasible),
    [null, true, false],
  );
  // what mutwo plan makes of the same run
  const planned = planRun(shared, { budget: "90%", planner: "mutwo" }).plan;
  assert.equal(results[1]?.figures.plannedPeakBytes, planned?.peakBytes);
  assert.equal(results[0]?.figures.peakBytes, shared.before.arenaBytes);
  const before = points.map(({ id }) => statSync(resultFile(folder, id)).ino);
  for (const index of [0, 1, 2]) assert.deepEqual(await run(sweep, index), { state: "done" });
  assert.deepEqual(
    points.map(({ id }) => statSync(resultFile(folder, id)).ino),
    before,
  );
  assert.deepEqual(readdirSync(sweep.temporary), []);
});

test("runPoint(…): what is measured for a point of a large sweep alone is not kept", async () => {
  const { manifest, temporary } = sweepOf("passing", [wanted(2)]);
  const point = { ...manifest.points[0]!, passing: true };
  assert.deepEqual(await runPoint(manifest, point, { temporary, retries: 0 }), { state: "done" });
  assert.deepEqual(readdirSync(path.join(manifest.folder, "runs")), []);
  assert.equal(readResult(manifest.folder, point.id).run, null);
});

test("runPoint(…) with execute measures the planned step too", async () => {
  const onCpu = wanted(2, "95%", { backend: "cpu", deviceSpec: undefined, iterations: 1, warmups: 0 });
  const sweep = sweepOf("execute", [{ ...onCpu, execute: true }]);
  assert.deepEqual(await run(sweep, 0), { state: "done" });
  const { figures } = readResult(sweep.manifest.folder, sweep.manifest.points[0]!.id);
  assert.ok((figures.plannedStepMs ?? 0) > 0);
});

test("runPoint(…): what is wrong with a point is its result, for good", async () => {
  const sweep = sweepOf("wrong", [
    wanted(2, undefined, { dims: { batch: 2, width: 3 } }),
    wanted(4, "60%", { keep: ["no-such"] }),
  ]);
  const first = await run(sweep, 0);
  assert.equal(first.state, "failed");
  assert.match("error" in first ? first.error : "", /^unknown dimension: width/);
  assert.deepEqual(await run(sweep, 0), first);
  assert.equal((await run(sweep, 1)).state, "failed");
  const { error } = readResult(sweep.manifest.folder, sweep.manifest.points[1]!.id);
  assert.match(error ?? "", /^pattern matches no activation: no-such/);
});

test("runPoint(…): a model that has changed or gone since the manifest was made", async () => {
  const folder = sweepFolder("changed");
  const model = path.join(folder, "m.onnx");
  copyFileSync(dynamicModel, model);
  const sweep = sweepOf("changed", [
    { ...wanted(2), model },
    { ...wanted(4), model },
  ]);
  appendFileSync(model, "\0");
  const changed = await run(sweep, 0);
  assert.match(
    "error" in changed ? changed.error : "",
    /^the model has changed since the manifest was made: .*m\.onnx/,
  );
  rmSync(model);
  const gone = await run(sweep, 1);
  assert.match("error" in gone ? gone.error : "", /^cannot read model: .*ENOENT/);
});

test("runPoint(…): a result that is damaged is said, not done again and not taken for one", async () => {
  const sweep = sweepOf("half", [wanted(2)]);
  await run(sweep, 0);
  const file = resultFile(sweep.manifest.folder, sweep.manifest.points[0]!.id);
  writeFileSync(file, readFileSync(file, "utf8").slice(0, 50));
  const outcome = await run(sweep, 0);
  assert.match("error" in outcome ? outcome.error : "", /^sweep's result is damaged: .*remove it/);
  rmSync(file);
  assert.deepEqual(await run(sweep, 0), { state: "done" });
});

test("keepFailure(…): what may pass is a fault until there are no retries left", () => {
  const { manifest, temporary } = sweepOf("faults", [wanted(2), wanted(4)]);
  const keep = (mayPass: boolean, index = 0) =>
    keepFailure(manifest, manifest.points[index]!, { message: "why", mayPass, began: 0 }, { temporary, retries: 2 });
  assert.deepEqual([keep(true).state, keep(true).state, keep(true).state], ["left", "left", "failed"]);
  const { error, attempts } = readResult(manifest.folder, manifest.points[0]!.id);
  assert.deepEqual([error, attempts], ["why", 3]);
  assert.equal(readFaults(manifest.folder).get(manifest.points[0]!.id)?.length, 3);
  assert.equal(keep(false, 1).state, "failed");
});

test("runPoint(…) is stuck where nothing can be written, and is no point's fault", async () => {
  const sweep = sweepOf("stuck", [wanted(2)]);
  rmSync(sweep.temporary, { recursive: true });
  const outcome = await run(sweep, 0);
  assert.equal(outcome.state, "stuck");
  assert.ok(!existsSync(resultFile(sweep.manifest.folder, sweep.manifest.points[0]!.id)));
});

test("runPoint(…) throws the reason of its signal, and leaves nothing", async () => {
  const { manifest, temporary } = sweepOf("signal", [wanted(2, undefined, { backend: "cpu", deviceSpec: undefined })]);
  const signal = AbortSignal.abort(new Error("stop"));
  await assert.rejects(runPoint(manifest, manifest.points[0]!, { temporary, retries: 2, signal }), { message: "stop" });
  assert.deepEqual(readdirSync(path.join(manifest.folder, "results")), []);
});
