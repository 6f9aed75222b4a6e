import assert from "node:assert/strict";
import { appendFileSync, rmSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import type { Engine, EngineJob, TaskStates } from "../../src/sweep/engine.js";
import {
  cancelJob,
  type EngineOptions,
  handOver,
  lastJob,
  missingPoints,
  packTasks,
  runOnEngine,
} from "../../src/sweep/engine-run.js";
import { parseIndexList } from "../../src/sweep/index-list.js";
import { type Manifest, writeManifest } from "../../src/sweep/manifest.js";
import { openFolder, putResult } from "../../src/sweep/result.js";
import { resultOf, sweepFolder, wanted } from "../sweep-of.js";

const manifestOf = (name: string, count: number): Manifest =>
  writeManifest(
    sweepFolder(name),
    Array.from({ length: count }, (_, i) => wanted(i + 1)),
  );

const options: EngineOptions = { mutwo: ["mutwo"], flags: [], settings: {}, retries: 1, pollMs: 1 };

/** An engine that does each task when it is asked for states; `does` says which of a task's points get results. */
function engineOf(
  manifest: Manifest,
  does: (points: readonly number[], jobs: number) => readonly number[],
): Engine & { jobs: EngineJob[]; cancelled: string[] } {
  const jobs: EngineJob[] = [];
  const cancelled: string[] = [];
  const waiting = new Map<string, EngineJob>();
  return {
    ...{ name: "here", settings: {}, jobs, cancelled },
    async submit(job) {
      jobs.push(job);
      waiting.set(job.name, job);
    },
    async states({ name }): Promise<TaskStates> {
      const job = waiting.get(name);
      waiting.delete(name);
      if (!job) return { waiting: 0, running: 0, ended: { LOST: 1 } };
      const temporary = openFolder(manifest.folder);
      for (const task of job.tasks)
        for (const index of does(parseIndexList(task, manifest.points.length), jobs.length)) {
          const point = manifest.points[index];
          if (point) putResult(manifest.folder, resultOf(point), temporary);
        }
      rmSync(temporary, { recursive: true });
      return { waiting: 1, running: 0, ended: {} };
    },
    async cancel({ name }) {
      cancelled.push(name);
      waiting.delete(name);
    },
  };
}

test("packTasks() keeps points that share a measurement in one task where they fit", () => {
  const points = [..."aaabbc"].map((profile, index) => ({ profile, index }));
  assert.deepEqual(packTasks(points, 3), ["0-2", "3-5"]);
  assert.deepEqual(packTasks(points, 4), ["0-2", "3-5"]);
  assert.deepEqual(packTasks(points, 2), ["0-1", "2", "3-4", "5"]);
  assert.deepEqual(
    packTasks(
      points.filter(({ index }) => index % 2 === 0),
      9,
    ),
    ["0,2,4"],
  );
  assert.deepEqual(packTasks(points, 1).length, 6);
});

test("runOnEngine() hands over again what a job has left, and nothing else", async () => {
  const manifest = manifestOf("again", 10);
  const engine = engineOf(manifest, (points, jobs) => points.slice(0, jobs === 1 ? 2 : 9));
  await runOnEngine(engine, manifest, { ...options, pack: 5 });
  assert.deepEqual(
    engine.jobs.map(({ tasks }) => tasks),
    [
      ["0-4", "5-9"],
      ["2-4,7-8", "9"],
    ],
  );
  assert.equal(new Set(engine.jobs.map(({ name }) => name)).size, 2);
  assert.deepEqual(missingPoints(manifest), []);
  await runOnEngine(engine, manifest, options);
  assert.equal(engine.jobs.length, 2);
});

test("runOnEngine() does all but the point that takes its process with it, and says which that is", async () => {
  const manifest = manifestOf("poison", 6);
  const engine = engineOf(manifest, (points) => points.slice(0, points.includes(2) ? points.indexOf(2) : 9));
  const ends = /^Error: 1 points have no result after 2 jobs that brought none: --index 2 \(here: 1 LOST; logs/;
  await assert.rejects(runOnEngine(engine, manifest, { ...options, pack: 6 }), ends);
  assert.deepEqual(
    missingPoints(manifest).map(({ index }) => index),
    [2],
  );
});

test("runOnEngine() waits for the job of a process that was killed, whatever stands in the last line", async () => {
  const manifest = manifestOf("before", 4);
  const engine = engineOf(manifest, (points) => points);
  assert.deepEqual(await handOver(engine, manifest, options), { tasks: 4, isNew: true });
  appendFileSync(path.join(manifest.folder, "engine.jsonl"), '\n{"engine":"here","name":"mutwo-cut');
  assert.equal(lastJob(manifest.folder, engine)?.name, engine.jobs[0]?.name);
  await runOnEngine(engine, manifest, options);
  assert.equal(engine.jobs.length, 1);
});

test("handOver() leaves alone what the engine is at; cancelJob() has it forgotten", async () => {
  const manifest = manifestOf("over", 4);
  const engine = engineOf(manifest, () => []);
  await cancelJob(engine, manifest, options);
  await handOver(engine, manifest, options);
  assert.deepEqual(await handOver(engine, manifest, options), { tasks: 1, isNew: false });
  await cancelJob(engine, manifest, options);
  assert.deepEqual([engine.jobs.length, engine.cancelled], [1, [engine.jobs[0]?.name]]);
});

test("an engine that refuses twice, or never answers, is told at once; one that is silent for a while is waited for", async () => {
  const manifest = manifestOf("silent", 2);
  const engine = engineOf(manifest, (points) => points);
  const down = async (): Promise<never> => {
    throw new Error("away");
  };
  await assert.rejects(runOnEngine({ ...engine, submit: down }, manifest, options), /^Error: away$/);
  await assert.rejects(runOnEngine({ ...engine, states: down }, manifest, options), /^Error: away$/);
  let asked = 0;
  const shy: Engine = { ...engine, name: "shy", states: (job) => (asked++ < 3 ? down() : engine.states(job)) };
  await runOnEngine(shy, manifest, options);
  assert.deepEqual([asked, engine.jobs.length], [4, 1]);
});

test("an engine that keeps no queue gets as many tasks as may run, and has to be told", async () => {
  const manifest = manifestOf("queue", 10);
  const engine = { ...engineOf(manifest, (points) => points), keepsNoQueue: true };
  await assert.rejects(runOnEngine(engine, manifest, options), /^Error: here starts all tasks at once: .*--jobs N/);
  await runOnEngine(engine, manifest, { ...options, parallel: 3 });
  assert.deepEqual(engine.jobs[0]?.tasks, ["0-3", "4-7", "8-9"]);
});
