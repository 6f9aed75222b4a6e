import assert from "node:assert/strict";
import path from "node:path";
import { after, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { bullmq } from "../../../src/sweep/engines/bullmq.js";
import { jobOf } from "../../engine-job.js";
import { isInstalled, type Service, startRedis, stopServices, until } from "../../services.js";
import { sweepFolder } from "../../sweep-of.js";

const services: Service[] = [];
after(() => stopServices(services));

test("bullmq keeps tasks for workers, does those again that were stopped, and says which failed", {
  skip: !isInstalled("redis-server", "redis-cli") && !process.env.CI && "apt-get install redis-server",
  timeout: 120_000,
}, async () => {
  const { url, server } = await startRedis(path.join(sweepFolder("redis"), "server"));
  services.push(server);
  const settings = { url };
  const [job, other] = [jobOf("queue", { settings }), jobOf("other", { settings, name: "mutwo-other" })];
  await bullmq.submit(job);
  await bullmq.submit(job); // the same job again: its tasks are there
  await bullmq.submit(other);
  assert.deepEqual(await bullmq.states(job), { waiting: 3, running: 0, ended: { failed: 0 } });

  // a worker whose first task goes on until it is asked to stop
  const stop = new AbortController();
  const work = (mutwo: [string, ...string[]], signal: AbortSignal) =>
    bullmq.work?.({ mutwo, settings, parallel: 1 }, signal);
  const working = work(["sh", "-c", "exec sleep 60"], stop.signal);
  await until(async () => (await bullmq.states(job)).running === 1);
  stop.abort();
  await working;
  assert.deepEqual(await bullmq.states(job), { waiting: 3, running: 0, ended: { failed: 0 } });

  // one whose tasks say that all points have results, one of them a failure; the other job is forgotten before
  await bullmq.cancel(other);
  assert.deepEqual(await bullmq.states(other), { waiting: 0, running: 0, ended: { failed: 0 } });
  const end = new AbortController();
  const ending = work(["sh", "-c", "exit 1"], end.signal);
  await until(async () => (await bullmq.states(job)).waiting === 0);
  await setTimeout(200);
  end.abort();
  await ending;
  assert.deepEqual(await bullmq.states(job), { waiting: 0, running: 0, ended: { failed: 0 } });
});

test("bullmq says in one line that there is no Redis", async () => {
  const job = jobOf("none", { settings: { url: "redis://127.0.0.1:1" } });
  for (const ask of [bullmq.submit, bullmq.states, bullmq.cancel])
    await assert.rejects(ask(job), /^Error: no Redis: .*ECONNREFUSED.* \(--engine-option url=redis:\/\/HOST:6379\)$/);
});
