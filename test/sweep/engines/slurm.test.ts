import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { slurm } from "../../../src/sweep/engines/slurm.js";
import { jobOf, programsIn } from "../../engine-job.js";

/*
 * What is asked of Slurm's programs, and what is made of their answers, on a cluster of any size; test/fleet.test.ts runs
 * sweeps on a real one.
 */

const config = "Configuration data\\nMaxArraySize            = 3\\nMaxJobCount             = 10000";
const sbatch = 'echo "$$;cluster"';

test("slurm submits arrays below MaxArraySize, each after the one before where so many may run", async () => {
  const job = jobOf("arrays", {
    tasks: ["0-9", "10", "11,13", "20", "21"],
    ...{ parallel: 2, seconds: 130, settings: { partition: "gpu", exclusive: "" } },
  });
  const { calls, restore } = programsIn(job.folder, { scontrol: `printf '${config}'`, sbatch });
  await slurm.submit(job).finally(restore);
  const [asked, ...arrays] = calls();
  assert.deepEqual(asked?.words, ["show", "config"]);
  const options = arrays.map(({ words }) => Object.fromEntries(words.map((word) => word.slice(2).split("="))));
  assert.deepEqual(
    options.map(({ array }) => array),
    ["0-1%2", "0-1%2", "0-0%2"],
  );
  assert.deepEqual(
    options.map(({ dependency }) => dependency?.replace(/\d+/, "ID")),
    [undefined, "afterany:ID", "afterany:ID"],
  );
  for (const { "job-name": name, signal, time, partition, ...rest } of options) {
    assert.deepEqual([name, signal, time, partition], [job.name, "B:TERM@60", "5", "gpu"]);
    assert.deepEqual(["parsable" in rest, "requeue" in rest, rest.exclusive], [true, true, undefined]);
  }
  const run = (script: string, index: string): string =>
    execFileSync("sh", {
      input: script.replace("exec ", "echo "),
      encoding: "utf8",
      env: { ...process.env, SLURM_ARRAY_TASK_ID: index },
    });
  assert.match(run(arrays[1]?.input ?? "", "0"), /cli\.js sweep run .*--index 11,13\n$/);
  assert.match(run(arrays[1]?.input ?? "", "1"), /--index 20\n$/);
  assert.ok(arrays.every(({ input }) => input.startsWith("#!/bin/sh\n")));
});

test("slurm sets no limits that nobody asked for, and a setting of sbatch's goes before mutwo's own", async () => {
  const job = jobOf("free", { seconds: 600, settings: { time: "3:00:00" } });
  const { calls, restore } = programsIn(job.folder, { scontrol: "", sbatch });
  await slurm.submit(job).finally(restore);
  const words = calls()[1]?.words ?? [];
  assert.ok(words.includes("--array=0-2") && words.includes("--time=3:00:00"));
  assert.ok(!words.some((word) => word.startsWith("--dependency")));
  assert.equal(words.filter((word) => word.startsWith("--time")).length, 1);
});

test("slurm says in one line why sbatch refuses", async () => {
  const job = jobOf("refused");
  const programs = { scontrol: "", sbatch: "echo 'sbatch: error: invalid partition specified: x' >&2; exit 1" };
  const { restore } = programsIn(job.folder, programs);
  await assert.rejects(slurm.submit(job).finally(restore), /^Error: sbatch: error: invalid partition specified: x$/);
});

test("slurm's states: who waits and runs by squeue, how others ended by sacct", async () => {
  const job = jobOf("states");
  const states = async (squeue: string, sacct: string) => {
    const programs = { squeue: `printf '${squeue}'`, sacct };
    const { restore } = programsIn(job.folder, programs);
    return await slurm.states(job).finally(restore);
  };
  const none = "echo 'Slurm accounting storage is disabled' >&2; exit 1";
  const queue = "RUNNING None\\nPENDING Priority\\nPENDING JobHeldUser\\nCOMPLETED None\\nTIMEOUT TimeLimit\\n";
  assert.deepEqual(await states(queue, none), { waiting: 2, running: 1, ended: { TIMEOUT: 1 } });
  const past = "printf 'COMPLETED\\nRUNNING\\nOUT_OF_MEMORY\\nCANCELLED by 1000\\nNODE_FAIL\\n'";
  assert.deepEqual(await states(queue, past), {
    ...{ waiting: 2, running: 1 },
    ended: { OUT_OF_MEMORY: 1, CANCELLED: 1, NODE_FAIL: 1 },
  });
  assert.deepEqual(await states("", none), { waiting: 0, running: 0, ended: {} });
});

test("slurm's task that is held since its launch failed is none that may still do something", async () => {
  const job = jobOf("held");
  const { restore } = programsIn(job.folder, {
    squeue: "printf 'PENDING launch failed requeued held\\nREQUEUED BeginTime\\nCOMPLETING None\\n'",
    sacct: "exit 1",
  });
  const states = await slurm.states(job).finally(restore);
  assert.deepEqual(states, { waiting: 1, running: 1, ended: { LAUNCH_FAILED: 1 } });
});
