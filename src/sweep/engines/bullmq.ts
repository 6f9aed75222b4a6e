import { once } from "node:events";
import type { Job, JobType, Queue } from "bullmq";
import { optional } from "../../optional.js";
import { doTask, type Engine, type EngineJob, isOver, taskCommand } from "../engine.js";

const bull = (): typeof import("bullmq") => optional("bullmq", "the engine bullmq needs", "bullmq ioredis");

/** Does something with the queue and leaves it. Throws where Redis does not answer. */
async function inQueue<T>(job: EngineJob, use: (queue: Queue) => Promise<T>): Promise<T> {
  const { url, queue: name = "mutwo" } = job.settings;
  const queue = new (bull().Queue)(name, { connection: { url, maxRetriesPerRequest: 1, retryStrategy: () => null } });
  queue.on("error", () => {}); // what is asked throws it too
  try {
    return await use(queue);
  } catch (cause) {
    throw new Error(`no Redis: ${(cause as Error).message} (--engine-option url=redis://HOST:6379)`, { cause });
  } finally {
    await queue.close().catch(() => {});
  }
}

/** The ids of a job's tasks that are in one of some states at one moment; those that ended well are gone. */
const tasksIn = async (job: EngineJob, ...states: JobType[]): Promise<string[]> =>
  (await inQueue(job, (queue) => queue.getRanges(states, 0, -1))).filter((id) => id.startsWith(`${job.name}-`));

/** BullMQ on Redis: tasks wait in a queue for workers; those of a worker that died wait again when their lock is over. */
export const bullmq: Engine = {
  name: "bullmq",
  settings: { url: "of Redis, default redis://127.0.0.1:6379", queue: "default mutwo", lock: "seconds, default 30" },
  async submit(job) {
    const opts = { attempts: 3, backoff: { type: "exponential", delay: 1000 }, removeOnComplete: true };
    const task = (name: string, i: number) => ({ name, data: job.words, opts: { ...opts, jobId: `${job.name}-${i}` } });
    await inQueue(job, (queue) => queue.addBulk(job.tasks.map(task)));
  },
  async states(job) {
    const left = await tasksIn(job, "wait", "delayed", "active");
    const [running, failed] = [(await tasksIn(job, "active")).length, (await tasksIn(job, "failed")).length];
    return { waiting: Math.max(0, left.length - running), running, ended: { failed } };
  },
  async cancel(job) {
    const ids = await tasksIn(job, "wait", "delayed", "failed");
    await inQueue(job, (queue) => Promise.all(ids.map((id) => queue.remove(id))));
  },
  async work({ mutwo, settings, parallel: concurrency }, stop) {
    const { Worker, WaitingError } = bull();
    const { url, queue = "mutwo", lock = "30" } = settings;
    const doJob = async (job: Job<string[]>, token?: string) => {
      const status = await doTask([...taskCommand({ mutwo, words: job.data }), job.name], stop);
      if (isOver(status)) return;
      if (!stop.aborted) throw new Error(`ended with ${status}`);
      await job.moveToWait(token);
      throw new WaitingError();
    };
    const locks = { lockDuration: 1000 * +lock, stalledInterval: 1000 * +lock, maxStalledCount: 100 };
    const worker = new Worker(queue, doJob, { ...locks, concurrency, connection: { url, maxRetriesPerRequest: null } });
    worker.on("error", () => {}); // Redis is away: it is waited for
    if (!stop.aborted) await once(stop, "abort");
    await worker.close();
  },
};
