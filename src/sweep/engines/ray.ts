import { formatCommand } from "../../format.js";
import { countStates, type Engine, type EngineJob, taskCommand } from "../engine.js";

type RayJob = Readonly<Record<"submission_id" | "status", string | null>>;

/** A request of the Jobs API: https://docs.ray.io/en/latest/cluster/running-applications/job-submission/api.html. */
async function ask(job: EngineJob, method: string, place = "", body?: object): Promise<unknown> {
  const { address = "http://127.0.0.1:8265", token } = job.settings;
  const headers = { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) };
  const request = { method, headers, signal: AbortSignal.timeout(60_000), ...(body && { body: JSON.stringify(body) }) };
  const response = await fetch(new URL(`/api/jobs/${place}`, address), request).catch((cause: Error) => {
    throw new Error(`no Ray at ${address} (--engine-option address=http://HEAD:8265)`, { cause });
  });
  if (response.ok) return response.json();
  const said = (await response.text()).trim().split("\n").at(-1);
  throw new Error(`Ray at ${address} answers ${response.status}: ${said}`.slice(0, 300));
}

const tasksOf = async (job: EngineJob): Promise<RayJob[]> =>
  ((await ask(job, "GET")) as RayJob[]).filter((one) => one.submission_id?.startsWith(`${job.name}-`));

/** Ray: a job of its Jobs API a task. One that waits for a quarter of an hour fails there: none is handed over to wait. */
export const ray: Engine = {
  name: "ray",
  settings: {
    address: "of the head node's dashboard, default http://127.0.0.1:8265",
    token: "what the dashboard wants to be shown, if anything",
    cpus: "cores of a task, default 1",
    gpus: "GPUs of a task, default none",
  },
  keepsNoQueue: true,
  async submit(job) {
    const { cpus = "1", gpus } = job.settings;
    const needs = { entrypoint_num_cpus: Number(cpus), ...(gpus && { entrypoint_num_gpus: Number(gpus) }) };
    for (const [i, points] of job.tasks.entries()) {
      const task = { submission_id: `${job.name}-${i}`, entrypoint: formatCommand([...taskCommand(job), points]) };
      await ask(job, "POST", "", { ...task, ...needs, metadata: { sweep: job.folder, points } });
    }
  },
  async states(job) {
    const states = (await tasksOf(job)).map(({ status }) => status).join("\n");
    return countStates(states, { waiting: /^PENDING/, running: /^RUNNING/, done: /^SUCCEEDED/ });
  },
  async cancel(job) {
    for (const { submission_id, status } of await tasksOf(job))
      if (status === "PENDING" || status === "RUNNING") await ask(job, "POST", `${submission_id}/stop`);
  },
};
