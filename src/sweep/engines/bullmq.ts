import { once } from "node:events";
import type { Job, JobType, Queue } from "bullmq";
import { optional } from "../../optional.js";
import { doTask, type Engine, type EngineJob, isOver, taskCommand } from "../engine.js";

const bull = (): typeof import("bullmq") => optional("bullmq", "the engine bullmq needs", "bullmq ioredis");
const place = ({ url = "redis://127.0.0.1:6379", queue = "mutwo" }: EngineJob["settings"]) => ({ url, queue });

/** Does something with the queue and leaves it. Throws where Redis does not answer. */
async function inQueue({ settings }: EngineJob, use: (queue: Queue) => Promise<unknown>): Promise<void> {
  const { url, queue: name } = place(settings);
  const queue = new (bull().Queue)(name, { connection: { url, maxRetriesPerRequest: 1 } });
  queue.on("error", () => {}); // what is asked throws it too
  const asked = use(queue).finally(() => queue.close().catch(() => {}));
  await asked.catch((cause) => {
    throw new Error(`no Redis at ${url} (--engine-option url=redis://HOST:6379)`, { cause });
  });
}

/** The ids of a job's tasks that are in one of some states at one moment; those that ended well are gone. */
const tasksIn = async (queue: Queue, { name }: EngineJob, ...states: JobType[]): Promise<string[]> =>
  (await queue.getRanges(states, 0, -1)).filter((id) => id.startsWith(`${name}-`));

/** BullMQ on Redis: tasks wait in a queue for workers; those of a worker that died wait again when their lock is over. */
export const bullmq: Engine = {
  name: "bullmq",
  settings: {
    ...{ url: "of Redis, default redis://127.0.0.1:6379", queue: "its name, default mutwo" },
    lock: "seconds of silence after which a worker is dead, default 30",
  },
  async submit(job) {
    const opts = { attempts: 3, backoff: { type: "exponential", delay: 1000 }, removeOnComplete: true };
    const task = (name: string, i: number) => ({ name, data: job.words, opts: { ...opts, jobId: `${job.name}-${i}` } });
    await inQueue(job, (queue) => queue.addBulk(job.tasks.map(task)));
  },
  async states(job) {
    const counts: number[] = [];
    await inQueue(job, async (queue) => {
      for (const states of [["wait", "delayed", "active"], ["active"], ["failed"]] as JobType[][])
        counts.push((await tasksIn(queue, job, ...states)).length);
    });
    const [left = 0, running = 0, failed = 0] = counts;
    return { waiting: left - running, running, ended: { failed } };
  },
  cancel: (job) =>
    inQueue(job, async (queue) => {
      for (const id of await tasksIn(queue, job, "wait", "delayed", "failed")) await queue.remove(id);
    }),
  async work({ mutwo, settings, parallel: concurrency }, stop) {
    const { Worker, WaitingError } = bull();
    const { url, queue } = place(settings);
    const lockDuration = 1000 * Number(settings.lock ?? 30);
    const doJob = async (job: Job<string[]>, token?: string) => {
      const status = await doTask([...taskCommand({ mutwo, words: job.data }), job.name], stop);
      if (isOver(status)) return;
      if (!stop.aborted) throw new Error(`ended with ${status}`);
      await job.moveToWait(token);
      throw new WaitingError();
    };
    const locks = { lockDuration, stalledInterval: lockDuration, maxStalledCount: 100 };
    const worker = new Worker(queue, doJob, { ...locks, concurrency, connection: { url, maxRetriesPerRequest: null } });
    worker.on("error", () => {}); // Redis is away: it is waited for
    if (!stop.aborted) await once(stop, "abort");
    await worker.close();
  },
};
