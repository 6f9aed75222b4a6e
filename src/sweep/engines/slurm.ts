import { call, countStates, type Engine, pickTask } from "../engine.js";

/** The most tasks of an array: their numbers are below MaxArraySize. */
async function arraySize(): Promise<number> {
  const size = /^MaxArraySize\s*=\s*(\d+)$/m.exec(await call("scontrol", ["show", "config"]))?.[1];
  return Math.max(1, Number(size ?? 1001) - 1);
}

const kinds = {
  waiting: /^(PENDING|REQUEUE|RESV_DEL_HOLD|SPECIAL_EXIT|SUSPENDED|STOPPED)/,
  running: /^(RUNNING|CONFIGURING|COMPLETING|RESIZING|SIGNALING|STAGE_OUT)/,
  done: /^COMPLETED/,
};

/** Slurm: arrays of jobs, a task an element. The folder lies where every node sees it by the same path. */
export const slurm: Engine = {
  name: "slurm",
  settings: { "*": "an option of sbatch: partition=gpu, gres=gpu:1, account=LAB, time=60, mem=16G" },
  async submit(job) {
    const { name, folder, tasks, parallel, seconds, settings } = job;
    const size = await arraySize();
    for (let first = 0, before = ""; first < tasks.length; first += size) {
      const chunk = tasks.slice(first, first + size);
      const options = {
        ...{ parsable: "", "job-name": name, output: `${folder}/logs/slurm-%A_%a.log`, "open-mode": "append" },
        array: `0-${chunk.length - 1}${parallel ? `%${parallel}` : ""}`,
        ...(parallel && before && { dependency: `afterany:${before}` }), // the limit is one of each array
        ...(seconds && { time: String(Math.ceil(seconds / 60) + 2) }),
        // a minute before its time is over mutwo, which takes the batch script's place, is asked to stop
        ...{ signal: "B:TERM@60", requeue: "", ...settings },
      };
      const words = Object.entries(options).map(([option, value]) => (value ? `--${option}=${value}` : `--${option}`));
      const script = `#!/bin/sh\nset -- ${chunk.join(" ")}\n${pickTask(job, "SLURM_ARRAY_TASK_ID")}\n`;
      before = (await call("sbatch", words, script)).trim().split(";")[0] ?? "";
    }
  },
  async states({ name }) {
    const known = ["--noheader", `--name=${name}`];
    const queue = await call("squeue", [...known, "--array", "--states=all", "--format=%T %r"]);
    // a task whose node was lost while it began is held until somebody releases it
    const now = countStates(queue.replace(/^PENDING (?=launch failed)/gm, "LAUNCH_FAILED "), kinds);
    // the controller forgets those that ended, and accounting hears late of those that began
    const past = call("sacct", [...known, "--allocations", "--parsable2", "--starttime=now-4weeks", "--format=State"]);
    return { ...now, ended: await past.then((text) => countStates(text, kinds).ended).catch(() => now.ended) };
  },
  async cancel({ name }) {
    await call("scancel", ["--state=PENDING", `--name=${name}`]);
    await call("scancel", ["--batch", "--signal=TERM", `--name=${name}`]);
  },
};
