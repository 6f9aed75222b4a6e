import path from "node:path";
import { stringify } from "yaml";
import { writeWhole } from "../../writing.js";
import { call, type Engine, type EngineJob, pickTask, type TaskStates } from "../engine.js";
import { parseIndexList } from "../index-list.js";

/** The Indexed Job of some tasks, an index each: https://kubernetes.io/docs/concepts/workloads/controllers/job. */
export function indexedJob(job: EngineJob): object {
  const { name, folder, tasks, parallel = tasks.length, seconds, settings } = job;
  const { image, claim, cpu = "1", memory = "2Gi", gpus } = settings;
  if (!image || !claim) throw new Error("kubernetes needs --engine-option image=IMAGE --engine-option claim=CLAIM");
  const container = {
    ...{ name: "mutwo", image, command: ["sh", "-c", pickTask(job, "JOB_COMPLETION_INDEX"), "sh"], args: tasks },
    resources: { requests: { cpu, memory }, limits: { memory, ...(gpus && { "nvidia.com/gpu": gpus }) } },
    volumeMounts: [{ name: "sweep", mountPath: folder }],
  };
  const pod = {
    ...{ restartPolicy: "Never", containers: [container], ...(seconds && { activeDeadlineSeconds: seconds }) },
    volumes: [{ name: "sweep", persistentVolumeClaim: { claimName: claim } }],
  };
  const rules = [
    // a node that is lost is no fault of the task; one that has done all it can is not done again
    { action: "Ignore", onPodConditions: [{ type: "DisruptionTarget", status: "True" }] },
    { action: "FailIndex", onExitCodes: { operator: "In", values: [1, 2] } },
  ];
  const size = { completions: tasks.length, parallelism: Math.min(parallel, tasks.length) };
  const spec = { completionMode: "Indexed", ...size, backoffLimitPerIndex: 3, podFailurePolicy: { rules } };
  return { apiVersion: "batch/v1", kind: "Job", metadata: { name }, spec: { ...spec, template: { spec: pod } } };
}

const kubectl = ({ settings: { namespace } }: EngineJob, ...words: string[]): Promise<string> =>
  call("kubectl", namespace ? [`--namespace=${namespace}`, ...words] : words);

/** Kubernetes: an Indexed Job, whose YAML stays in the sweep's folder. The folder is the root of a claim for volumes. */
export const kubernetes: Engine = {
  name: "kubernetes",
  settings: {
    ...{ image: "which has mutwo", claim: "whose root is the sweep's folder", namespace: "default kubectl's own" },
    ...{ cpu: "cores of a task, default 1", memory: "of a task, default 2Gi", gpus: "of a task, default none" },
  },
  mutwo: ["mutwo"],
  async submit(job) {
    const file = path.join(job.folder, `${job.name}.yaml`);
    writeWhole(file, stringify(indexedJob(job), { lineWidth: 0 }));
    await kubectl(job, "apply", "--filename", file);
  },
  async states(job): Promise<TaskStates> {
    const text = await kubectl(job, "get", "job", job.name, "--ignore-not-found", "--output=json");
    if (text === "") return { waiting: 0, running: 0, ended: {} };
    const { spec, status } = JSON.parse(text);
    const { active = 0, succeeded = 0, failedIndexes = "", conditions = [] } = status;
    const failed = failedIndexes === "" ? 0 : parseIndexList(failedIndexes, job.tasks.length).length;
    const isOver = spec.suspend || conditions.some(({ type }: { type: string }) => type === "Failed");
    const left = isOver ? 0 : job.tasks.length - succeeded - failed;
    return { waiting: Math.max(0, left - active), running: Math.min(left, active), ended: { failed } };
  },
  async cancel(job) {
    await kubectl(job, "patch", "job", job.name, "--patch", '{"spec":{"suspend":true}}');
  },
};
