import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { randomFrom } from "../../src/graph/random.js";
import { type Manifest, type Wanted, writeManifest } from "../../src/sweep/manifest.js";
import { doneIds, readFaults, readResult } from "../../src/sweep/result.js";
import { type RunnerProgress, runSweep } from "../../src/sweep/runner.js";
import { countsOf, readSweep } from "../../src/sweep/state.js";
import { descendants, isThere } from "../processes.js";
import { program } from "../program.js";
import { sweepFolder, wanted } from "../sweep-of.js";

const manifestOf = (name: string, wants: readonly Wanted[]): Manifest => writeManifest(sweepFolder(name), wants);

const budgets = ["70%", "75%", "80%", "85%", "90%", "95%"];

const many = (batches: readonly number[]): Wanted[] =>
  batches.flatMap((batch) => [wanted(batch), ...budgets.map((budget) => wanted(batch, budget))]);

/** Workers of this process. */
const workers = (): number[] =>
  descendants(process.pid).filter((pid) => {
    try {
      return /sweep\/worker\.[jt]s/.test(readFileSync(`/proc/${pid}/cmdline`, "utf8"));
    } catch {
      return false;
    }
  });

/** Does something while some process of those is killed again and again, at moments that a seed decides; says how often. */
async function withKills(
  seed: number,
  victims: () => readonly number[],
  most: number,
  work: () => Promise<void>,
): Promise<number> {
  const random = randomFrom(seed);
  let kills = 0;
  let isOver = false;
  const killing = async (): Promise<void> => {
    while (!isOver && kills < most) {
      await pause(300 + 1200 * random());
      const all = victims();
      const victim = all[Math.floor(random() * all.length)];
      if (victim === undefined || isOver) continue;
      process.kill(victim, "SIGKILL");
      kills++;
    }
  };
  const killed = killing();
  try {
    await work();
  } finally {
    isOver = true;
    await killed;
  }
  return kills;
}

/** Every point has its result, whole and of itself, and nothing else lies there. */
function checkAll({ folder, points }: Manifest): void {
  assert.deepEqual(readdirSync(path.join(folder, "results")).sort(), points.map(({ id }) => `${id}.json`).sort());
  for (const { id } of points) assert.equal(readResult(folder, id).error, undefined);
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.startsWith(".")),
    [],
  );
}

test("runSweep(manifest) does every point once, says how far it is, and does nothing again", async () => {
  const manifest = manifestOf("all", many([2, 3]));
  const told: RunnerProgress[] = [];
  await runSweep(manifest, { jobs: 2, onProgress: (progress) => told.push(progress) });
  checkAll(manifest);
  assert.deepEqual([told[0]?.done, told.at(-1)?.done, told.at(-1)?.total, told.at(-1)?.failed], [0, 14, 14, 0]);
  assert.ok((told[5]?.leftMs ?? 0) > 0);
  assert.deepEqual(readdirSync(path.join(manifest.folder, "runs")).length, 2, "a measurement for each batch");
  assert.deepEqual(workers(), []);
  let again = 0;
  await runSweep(manifest, { onProgress: () => again++ });
  assert.equal(again, 1);
});

test("runSweep(manifest) whose workers are killed at random loses no point and counts none twice", {
  skip: process.platform !== "linux",
}, async () => {
  const manifest = manifestOf("killed", many([2, 3, 4, 5, 6, 7]));
  const dones: number[] = [];
  const kills = await withKills(21, workers, 8, () =>
    runSweep(manifest, { jobs: 2, retries: 20, backOffMs: 10, onProgress: ({ done }) => dones.push(done) }),
  );
  assert.ok(kills >= 2, "nobody was killed");
  checkAll(manifest);
  assert.deepEqual(dones, [...Array(43).keys()]);
});

test("mutwo sweep killed at random with all its processes goes on where it was", {
  skip: process.platform !== "linux",
  timeout: 300_000,
}, async () => {
  const manifest = manifestOf("resumed", many([2, 3, 4]));
  const words = [...program, "sweep", manifest.folder, "--jobs", "2"];
  const random = randomFrom(5);
  let before = 0;
  for (let kills = 0; kills < 4; kills++) {
    const child = spawn(process.execPath, words, { stdio: "ignore" });
    const ended = once(child, "exit");
    await Promise.race([ended, pause(1500 + 2500 * random())]);
    const below = descendants(child.pid as number);
    child.kill("SIGKILL");
    await ended;
    for (let tries = 0; tries < 100 && below.some(isThere); tries++) await pause(100);
    assert.deepEqual(below.filter(isThere), [], "a worker goes on without its runner");
    const { left, failed, damaged } = countsOf(readSweep(manifest.folder));
    assert.deepEqual([failed, damaged], [0, 0]);
    assert.ok(21 - left >= before);
    before = 21 - left;
  }
  await runSweep(manifest, { jobs: 2 });
  checkAll(manifest);
});

test("runSweep(manifest): a point whose process dies each time fails for good, the others are done", {
  skip: process.platform !== "linux",
}, async () => {
  // takes long enough to be killed, and only that one
  const slow = wanted(2, undefined, { backend: "cpu", deviceSpec: undefined, iterations: 100_000 });
  const manifest = manifestOf("dies", [wanted(3), slow]);
  const victims = () => (doneIds(manifest.folder).size === 1 ? workers() : []);
  await withKills(3, victims, 99, () => runSweep(manifest, { jobs: 1, retries: 1, backOffMs: 10 }));
  const { points } = readSweep(manifest.folder);
  assert.equal(points[0]?.result?.error, undefined);
  assert.equal(points[1]?.result?.error, "its process was ended by SIGKILL");
  assert.equal(points[1]?.result?.attempts, 2);
});

test("runSweep(manifest): a point that takes longer than its limit fails, and its worker goes", async () => {
  const slow = wanted(2, undefined, { backend: "cpu", deviceSpec: undefined, iterations: 100_000 });
  const manifest = manifestOf("limit", [slow, wanted(3)]);
  await runSweep(manifest, { limitSeconds: 5 });
  const { points } = readSweep(manifest.folder);
  assert.equal(points[0]?.result?.error, "took longer than 5 s, the limit of a point");
  assert.equal(points[1]?.result?.error, undefined);
  assert.equal(readFaults(manifest.folder).size, 0);
});

test("runSweep(manifest) stops by its signal, keeps what is done, and goes on", async () => {
  const manifest = manifestOf("stopped", many([2, 3]));
  const controller = new AbortController();
  const stopped = runSweep(manifest, {
    signal: controller.signal,
    onProgress: ({ done }) => done === 3 && controller.abort(new Error("enough")),
  });
  await assert.rejects(stopped, { message: "enough" });
  assert.ok(doneIds(manifest.folder).size < 14);
  assert.deepEqual(workers(), []);
  await runSweep(manifest);
  checkAll(manifest);
});

test("two runners of one folder at the same time leave each result once", async () => {
  const manifest = manifestOf("two", many([2, 3]));
  await Promise.all([runSweep(manifest), runSweep(manifest)]);
  checkAll(manifest);
});

/** Mounts a disk of so many kB; undefined where that is not allowed. */
function smallDisk(name: string, kilobytes: number): { grow(to: number): void; folder: string } | undefined {
  const folder = sweepFolder(name);
  const mount = (...words: readonly string[]): number | null =>
    spawnSync("mount", [...words, folder], { stdio: "ignore" }).status;
  if (mount("-t", "tmpfs", "-o", `size=${kilobytes}k`, "tmpfs") !== 0) return undefined;
  return { folder, grow: (to) => void mount("-o", `remount,size=${to}k`) };
}

test("runSweep(manifest) on a disk that is full: nothing half written, and all is done when there is room", async (t) => {
  const disk = smallDisk("small", 500);
  if (!disk) return t.skip("may not mount a disk");
  try {
    const manifest = writeManifest(disk.folder, many([2, 3]));
    await assert.rejects(runSweep(manifest, { retries: 1, backOffMs: 10 }), {
      message: /^disk full: .* \(\d+ points are left; the same command goes on\)$/,
    });
    const { failed, damaged, left } = countsOf(readSweep(manifest.folder));
    assert.deepEqual([failed, damaged], [0, 0]);
    assert.ok(left > 0);
    disk.grow(5000);
    await runSweep(manifest);
    checkAll(manifest);
  } finally {
    spawnSync("umount", [disk.folder]);
  }
});

test("mutwo sweep does not mind a clock that jumps", async () => {
  const manifest = manifestOf("clock", many([2]));
  const jumps = path.join(manifest.folder, "jumps.cjs");
  // years forth and back, each time that somebody looks
  writeFileSync(
    jumps,
    `const real = Date.now; let n = 0; const jump = () => real() + (n++ % 2 ? 1 : -1) * 1e11 * (n % 7);
Date.now = jump; globalThis.Date = class extends Date { constructor(...args) { super(...(args.length ? args : [jump()])); } };`,
  );
  const words = ["--require", jumps, ...program, "sweep", manifest.folder, "--jobs", "2", "--json"];
  const { status, stdout, stderr } = spawnSync(process.execPath, words, { encoding: "utf8" });
  assert.equal(status, 0, stderr);
  assert.equal(JSON.parse(stdout).left, 0);
  checkAll(manifest);
});

test("runSweep(manifest): nothing can be written: a line says so, and what is left is done later", async () => {
  const manifest = manifestOf("full", many([2]));
  // a folder where results belong takes no file of that name: what a disk that fails looks like to a writer
  mkdirSync(path.join(manifest.folder, "runs", `${manifest.points[0]?.profile}.json`), { recursive: true });
  await assert.rejects(runSweep(manifest, { retries: 1, backOffMs: 10 }).then(() => checkAll(manifest)));
  rmSync(path.join(manifest.folder, "runs"), { recursive: true });
  rmSync(path.join(manifest.folder, "results"), { recursive: true });
  writeFileSync(path.join(manifest.folder, "results"), "");
  await assert.rejects(runSweep(manifest, { retries: 1, backOffMs: 10 }), { message: /^output folder not writable: / });
  rmSync(path.join(manifest.folder, "results"));
  await runSweep(manifest);
  checkAll(manifest);
  assert.ok(!existsSync(path.join(manifest.folder, "sweep.csv")));
});
