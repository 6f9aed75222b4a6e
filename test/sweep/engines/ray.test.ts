import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import { after, test } from "node:test";
import { ray } from "../../../src/sweep/engines/ray.js";
import { jobOf } from "../../engine-job.js";

/*
 * A server that answers as the Ray Jobs REST API is documented
 * (docs.ray.io/en/latest/cluster/running-applications/job-submission/api.html): submit, list, stop, their fields and codes.
 */

interface Job {
  readonly type: "SUBMISSION" | "DRIVER";
  readonly submission_id: string | null;
  readonly entrypoint: string;
  status: "PENDING" | "RUNNING" | "STOPPED" | "SUCCEEDED" | "FAILED";
  readonly metadata: Readonly<Record<string, string>>;
}

/** Fields of a JobSubmitRequest and what each is. */
const fields: Readonly<Record<string, (value: unknown) => boolean>> = {
  entrypoint: (value) => typeof value === "string",
  submission_id: (value) => typeof value === "string",
  runtime_env: (value) => typeof value === "object",
  metadata: (value) => Object.values(value as object).every((one) => typeof one === "string"),
  entrypoint_num_cpus: (value) => typeof value === "number",
  entrypoint_num_gpus: (value) => typeof value === "number",
  entrypoint_memory: Number.isInteger,
  entrypoint_resources: (value) => Object.values(value as object).every((one) => typeof one === "number"),
};

const jobs: Job[] = [];
const bodies: Record<string, unknown>[] = [];

async function answer(request: IncomingMessage): Promise<[status: number, body: unknown]> {
  let text = "";
  for await (const part of request) text += part;
  if (request.headers.authorization !== "Bearer secret") return [401, "Unauthorized"];
  const [, id, action] = /^\/api\/jobs\/(?:([^/]+)(?:\/(\w+))?)?$/.exec(request.url ?? "") ?? [null];
  if (request.method === "GET" && !id) return [200, jobs];
  if (request.method === "POST" && !id) {
    const body = JSON.parse(text) as Record<string, unknown>;
    const wrong = Object.entries(body).find(([name, value]) => !fields[name]?.(value));
    if (wrong || typeof body.entrypoint !== "string") return [400, `Traceback\nTypeError: ${wrong?.[0]}`];
    if (jobs.some((one) => one.submission_id === body.submission_id)) return [500, "Traceback\nalready exists"];
    bodies.push(body);
    const { entrypoint, submission_id, metadata } = body as unknown as Job;
    jobs.push({ type: "SUBMISSION", submission_id, entrypoint, status: "PENDING", metadata });
    return [200, { job_id: submission_id, submission_id }];
  }
  const job = jobs.find(({ submission_id }) => submission_id === id);
  if (!job) return [404, `Job ${id} does not exist`];
  if (request.method !== "POST" || action !== "stop") return [405, "Method Not Allowed"];
  job.status = "STOPPED";
  return [200, { stopped: true }];
}

const server = createServer((request, response) => {
  void answer(request).then(([status, body]) => {
    const type = typeof body === "string" ? "text/plain" : "application/json";
    response.writeHead(status, { "content-type": type });
    response.end(typeof body === "string" ? body : JSON.stringify(body));
  });
}).listen(0, "127.0.0.1");

after(() => server.close());

const address = async (): Promise<string> => {
  if (!server.listening) await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as { port: number }).port}`;
};

test("ray submits a job a task, counts them by status and stops those that are left", async () => {
  const settings = { address: await address(), token: "secret", gpus: "1" };
  const job = jobOf("ray", { settings });
  jobs.push({ type: "DRIVER", submission_id: null, entrypoint: "", status: "RUNNING", metadata: {} });
  jobs.push({ type: "SUBMISSION", submission_id: "mutwo-other-0", entrypoint: "", status: "RUNNING", metadata: {} });
  await ray.submit(job);
  const own = jobs.slice(2);
  assert.deepEqual(
    own.map(({ submission_id }) => submission_id),
    [0, 1, 2].map((i) => `${job.name}-${i}`),
  );
  assert.match(own[1]?.entrypoint ?? "", /^node '\/opt\/mu two\/cli\.js' sweep run .* --index 10,12$/);
  assert.deepEqual([bodies[0]?.entrypoint_num_cpus, bodies[0]?.entrypoint_num_gpus], [1, 1]);
  assert.deepEqual(await ray.states(job), { waiting: 3, running: 0, ended: {} });
  for (const [i, status] of (["RUNNING", "FAILED", "SUCCEEDED"] as const).entries()) (own[i] as Job).status = status;
  assert.deepEqual(await ray.states(job), { waiting: 0, running: 1, ended: { FAILED: 1 } });
  await ray.cancel(job);
  assert.deepEqual(
    jobs.map(({ status }) => status),
    ["RUNNING", "RUNNING", "STOPPED", "FAILED", "SUCCEEDED"],
  );
  assert.deepEqual(await ray.states(job), { waiting: 0, running: 0, ended: { STOPPED: 1, FAILED: 1 } });
});

test("ray says in one line what Ray refuses, and that there is none", async () => {
  const at = await address();
  const refused = (settings: Record<string, string>) => ray.submit(jobOf("refused", { settings }));
  await assert.rejects(
    refused({ address: at, token: "secret" }),
    /^Error: Ray at http:\S+ answers 500: already exists$/,
  );
  await assert.rejects(
    refused({ address: at, token: "secret", cpus: "many" }),
    /answers 400: TypeError: entrypoint_num_cpus$/,
  );
  await assert.rejects(refused({ address: at }), /answers 401: Unauthorized$/);
  await assert.rejects(
    refused({ address: "http://127.0.0.1:1" }),
    /^Error: no Ray at http:\/\/127\.0\.0\.1:1 \(--engine-option/,
  );
});
