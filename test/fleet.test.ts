import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { runOnEngine } from "../src/sweep/engine-run.js";
import { bullmq } from "../src/sweep/engines/bullmq.js";
import { slurm } from "../src/sweep/engines/slurm.js";
import { readManifest, writeManifest } from "../src/sweep/manifest.js";
import { at } from "./at.js";
import { processDies, processesOf, serverDies, underKills } from "./kills.js";
import { program } from "./program.js";
import { isInstalled, type Service, startRedis, startSlurm, stopServices } from "./services.js";

/*
 * Sweeps on engines that run here, while what does them is killed. MUTWO_FLEET=points,kills makes them larger:
 * 10000,20 is what the project promises.
 */
const [pointCount = 200, kills = 4] = (process.env.MUTWO_FLEET ?? "").split(",").filter(Boolean).map(Number);

const place = mkdtempSync(path.join(tmpdir(), "mutwo-fleet-"));
chmodSync(place, 0o755); // munge wants its clients to get in
const services: Service[] = [];
after(async () => {
  await stopServices(services);
  rmSync(place, { recursive: true });
});

/** A sweep of small points: plans of one measurement each hundred. */
function newSweep(name: string): string {
  const folder = path.join(place, name);
  const points = Array.from({ length: pointCount }, (_, i) => ({
    model: at("fixtures/mlp.ts.onnx"),
    options: { loss: "mse", optimizer: "sgd", seed: Math.floor(i / 100), budget: `${50 + (i % 100) / 2}%` } as const,
  }));
  writeManifest(folder, points);
  return folder;
}

const mutwo = [process.execPath, ...program] as [string, ...string[]];
const common = {
  mutwo,
  flags: [],
  retries: 5,
  pack: pointCount > 1000 ? 50 : 20,
  parallel: 2,
  pollMs: 200,
  onProgress: (note: string, done: number) =>
    process.env.MUTWO_DEBUG && console.error(performance.now() | 0, note, done),
};

const isSkipped = (...programs: readonly string[]): string | false =>
  !isInstalled(...programs) &&
  !process.env.CI &&
  `${programs.join(", ")}: apt-get install slurmctld slurmd munge redis-server`;

test("a sweep on Slurm loses no point and does none twice, whatever is killed", {
  skip: isSkipped("slurmctld", "slurmd", "munged"),
  timeout: 1_800_000,
}, async (context) => {
  const server = await startSlurm(path.join(place, "slurm-server"));
  services.push(...server.all);
  process.env.SLURM_CONF = server.conf;
  const folder = newSweep("slurm");
  const sweep = () => runOnEngine(slurm, readManifest(folder), { ...common, settings: {} });
  const admin = setInterval(() => {
    try {
      server.resume();
    } catch {} // the controller is away
  }, 1000);
  const { killed, tookMs, reads } = await underKills(
    folder,
    sweep,
    [
      processDies("points", kills, () => processesOf("sweep run", folder)),
      processDies("step daemons", Math.ceil(kills / 4), () => processesOf("slurmstepd")),
      serverDies("node daemons", Math.ceil(kills / 4), server.nodes, 500),
      serverDies("controller", Math.ceil(kills / 7), [server.controller], 1000),
    ],
    { spanMs: pointCount * 25 },
  ).finally(() => clearInterval(admin));
  context.diagnostic(
    `${pointCount} points, ${JSON.stringify(killed)}, ${Math.round(tookMs)} ms, ${reads} results read meanwhile`,
  );
});

test("a sweep on BullMQ loses no point and does none twice, whatever is killed", {
  skip: isSkipped("redis-server"),
  timeout: 1_800_000,
}, async (context) => {
  const { url, server } = await startRedis(path.join(place, "redis-server"));
  services.push(server);
  const folder = newSweep("bullmq");
  const settings = { url, lock: "3" };
  const workers = new Set<ChildProcess>();
  const startWorker = (): void => {
    const words = ["--engine-option", `url=${url}`, "--engine-option", "lock=3"];
    const child = spawn(process.execPath, [...program, "sweep", "worker", ...words], { stdio: "ignore" });
    workers.add(child);
    child.on("exit", () => workers.delete(child));
  };
  for (let i = 0; i < 2; i++) startWorker();
  const sweep = () => runOnEngine(bullmq, readManifest(folder), { ...common, settings });
  try {
    const { killed, tookMs, reads } = await underKills(
      folder,
      sweep,
      [
        processDies("workers", kills, () => [...workers].map(({ pid }) => pid as number), startWorker),
        processDies("points", Math.ceil(kills / 4), () => processesOf("sweep run", folder)),
        serverDies("Redis", Math.ceil(kills / 7), [server], 1000),
      ],
      { spanMs: pointCount * 20 },
    );
    context.diagnostic(
      `${pointCount} points, ${JSON.stringify(killed)}, ${Math.round(tookMs)} ms, ${reads} results read meanwhile`,
    );
  } finally {
    for (const worker of workers) worker.kill("SIGTERM");
  }
});
