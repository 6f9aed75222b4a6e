import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { profileModel } from "../../src/run/pipeline.js";
import type { Run } from "../../src/run/run.js";
import { type BenchModel, common, modelFile, type Places, progressOf, table } from "./gpu-models.js";

interface Seen {
  readonly before: number;
  readonly most: number;
  readonly processes: Readonly<Record<string, number>>;
}

/** What another process sees of the GPU's memory while work is done. */
async function seenDuring<T>({ scripts }: Places, work: () => Promise<T>): Promise<{ seen: Seen; result: T }> {
  const watcher = spawn("python3", [path.join(scripts, "watch_memory.py")], { stdio: ["pipe", "pipe", "inherit"] });
  let text = "";
  watcher.stdout.setEncoding("utf8").on("data", (part: string) => {
    text += part;
  });
  await Promise.race([
    once(watcher.stdout, "data"),
    once(watcher, "close").then(() => Promise.reject(new Error("nothing watches"))),
  ]);
  try {
    const result = await work();
    watcher.stdin.end();
    await once(watcher, "close");
    return { seen: JSON.parse(text.trim().split("\n").at(-1) as string) as Seen, result };
  } finally {
    watcher.kill();
  }
}

const mb = (bytes: number | undefined): string => ((bytes ?? 0) / 1e6).toFixed(0);

function rowOf(what: string, { before: { memory }, processPeak }: Run, seen: Seen): string[] {
  const own = Math.max(0, ...Object.values(seen.processes)) || seen.most - seen.before;
  const said = processPeak?.bytes ?? 0;
  return [
    what,
    ...[memory?.valuesBytes, memory?.workspaceBytes, memory?.contextBytes].map(mb),
    ...[memory?.kernelsBytes, memory?.graphsBytes, memory?.otherBytes, memory?.processBytes, said, own].map(mb),
    `${(100 * (said / own - 1)).toFixed(2)} %`,
    processPeak?.stage ?? "–",
  ];
}

/** What mutwo says of the device's memory beside what NVML shows to another process, without and with a budget. */
export async function memory(places: Places, models: readonly BenchModel[]): Promise<string> {
  const rows: string[][] = [];
  const say = progressOf();
  for (const { name, batch, budget } of models)
    for (const asked of [{}, { budget }]) {
      const file = modelFile(places, name);
      say(`${name} ${asked.budget ?? ""}`);
      const { seen, result } = await seenDuring(places, () =>
        profileModel(file, { ...common, dims: { batch }, ...asked }),
      );
      rows.push(rowOf(`${name} b${batch}${asked.budget ? ` ${asked.budget}` : ""}`, result, seen));
    }
  const head = ["MB", "values", "workspace", "context, libraries", "kernels", "graphs", "other", "process"];
  return table([...head, "most, said", "most, seen", "off", "during"], rows);
}
