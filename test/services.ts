import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, openSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { hostname } from "node:os";
import path from "node:path";
import { setTimeout } from "node:timers/promises";

/** Whether a program is here, in a system's folder too. */
export function isInstalled(...programs: readonly string[]): boolean {
  try {
    for (const program of programs) execFileSync("sh", ["-c", `PATH=$PATH:/usr/sbin command -v ${program}`]);
    return true;
  } catch {
    return false;
  }
}

const ports = async (count: number): Promise<number[]> => {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => once(server, "listening")));
  const free = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => once(server.close(), "close")));
  return free;
};

/** A server of its own, which can be killed and started again. */
export interface Service {
  readonly start: () => ChildProcess;
  readonly process: () => ChildProcess;
}

function service(folder: string, program: string, words: readonly string[], env: NodeJS.ProcessEnv = {}): Service {
  let child: ChildProcess;
  const start = (): ChildProcess => {
    const log = openSync(path.join(folder, `${program}.log`), "a");
    const all = { ...process.env, ...env, PATH: `${process.env.PATH}:/usr/sbin` };
    child = spawn(program, words, { cwd: folder, env: all, stdio: ["ignore", log, log] });
    return child;
  };
  start();
  return { start, process: () => child };
}

/** Asks until it is answered. Throws the last error after a while. */
export async function until(ask: () => unknown, ms = 60_000): Promise<void> {
  for (const began = performance.now(); ; await setTimeout(100))
    try {
      if (await ask()) return;
      if (performance.now() - began > ms) throw new Error("not in time");
    } catch (error) {
      if (performance.now() - began > ms) throw error;
    }
}

/** Ends servers, and waits until they have. */
export async function stopServices(services: readonly Service[]): Promise<void> {
  for (const { process: now } of [...services].reverse()) {
    const child = now();
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill("SIGTERM");
    const late = setTimeout(5000, "late", { ref: false });
    if ((await Promise.race([once(child, "exit"), late])) === "late") child.kill("SIGKILL");
  }
}

/** A Redis that keeps what it has acknowledged. */
export async function startRedis(folder: string): Promise<{ url: string; server: Service }> {
  mkdirSync(folder, { recursive: true });
  const [port] = await ports(1);
  const keep = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""];
  const server = service(folder, "redis-server", [
    "--port",
    `${port}`,
    "--bind",
    "127.0.0.1",
    "--dir",
    folder,
    ...keep,
  ]);
  await until(() => execFileSync("redis-cli", ["-p", `${port}`, "ping"], { encoding: "utf8" }) === "PONG\n");
  return { url: `redis://127.0.0.1:${port}`, server };
}

/** A Slurm of two nodes on this machine: their daemons, the controller and munge, all of this user. */
export interface Slurm {
  /** What its commands are to find in SLURM_CONF. */
  readonly conf: string;
  readonly nodes: readonly Service[];
  readonly controller: Service;
  readonly all: readonly Service[];
  /** Says that all nodes may be used: Slurm drains one where it finds a job that a killed controller has forgotten. */
  readonly resume: () => void;
}

export async function startSlurm(folder: string, settings: readonly string[] = []): Promise<Slurm> {
  mkdirSync(path.join(folder, "state"), { recursive: true });
  const [key, socket] = ["munge.key", "munge.socket"].map((name) => path.join(folder, name)) as [string, string];
  writeFileSync(key, randomBytes(1024), { mode: 0o400 });
  const [port, ...nodePorts] = await ports(3);
  const conf = path.join(folder, "slurm.conf");
  const user = execFileSync("id", ["-un"], { encoding: "utf8" }).trim();
  writeFileSync(
    conf,
    [
      ...["ClusterName=test", `SlurmctldHost=${hostname()}(127.0.0.1)`, `SlurmctldPort=${port}`],
      ...[`SlurmUser=${user}`, `SlurmdUser=${user}`, `AuthInfo=socket=${socket},cred_expire=5`],
      ...[`StateSaveLocation=${folder}/state`, `SlurmdSpoolDir=${folder}/spool.%n`],
      ...[`SlurmctldPidFile=${folder}/slurmctld.pid`, `SlurmdPidFile=${folder}/slurmd.%n.pid`],
      // no control groups and no accounting: everything runs as plain processes
      ...[
        "ProctrackType=proctrack/linuxproc",
        "TaskPlugin=task/none",
        "SelectType=select/cons_tres",
        "ReturnToService=2",
      ],
      // nothing waits for the next round, and a daemon that died is found soon
      ...["SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1"],
      ...["SlurmdTimeout=10", "KillWait=5", ...settings],
      ...nodePorts.map((at, i) => `NodeName=w${i} NodeHostname=${hostname()} NodeAddr=127.0.0.1 Port=${at} CPUs=1`),
      "PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP",
      "",
    ].join("\n"),
  );
  const munge = service(folder, "munged", [
    ...["--foreground", "--force", `--socket=${socket}`, `--key-file=${key}`],
    ...["log", "pid", "seed"].map((name) => `--${name}-file=${folder}/munged.${name}`),
  ]);
  await until(() => execFileSync("munge", ["-n", "-S", socket], { stdio: "ignore" }) !== undefined);
  const controller = service(folder, "slurmctld", ["-D", "-f", conf]);
  const nodes = nodePorts.map((_, i) => service(folder, "slurmd", ["-D", "-N", `w${i}`, "-f", conf]));
  const ask = (program: string, ...words: string[]): string =>
    execFileSync(program, words, { encoding: "utf8", stdio: "pipe", env: { ...process.env, SLURM_CONF: conf } });
  await until(() => ask("sinfo", "-h", "-o", "%D %T").trim() === "2 idle");
  const resume = (): void => {
    for (const [, name] of ask("sinfo", "-h", "-N", "-t", "drain,down", "-o", "%N").matchAll(/^(\S+)$/gm))
      ask("scontrol", "update", `NodeName=${name}`, "State=RESUME");
  };
  return { conf, nodes, controller, all: [munge, controller, ...nodes], resume };
}
