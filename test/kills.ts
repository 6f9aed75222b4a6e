import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { setTimeout } from "node:timers/promises";
import { randomFrom } from "../src/graph/random.js";
import { readManifest } from "../src/sweep/manifest.js";
import { doneIds, readResult } from "../src/sweep/result.js";
import type { Service } from "./services.js";

/** Processes whose command line has some words in it, in that order. */
export function processesOf(...words: readonly string[]): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").join(" ");
        return new RegExp(words.map((word) => word.replace(/\W/g, "\\$&")).join(".*")).test(line);
      } catch {
        return false;
      }
    })
    .map(Number);
}

/** Ends a process so that it cannot do anything about it. */
export function kill9(pid: number | undefined): void {
  try {
    if (pid) process.kill(pid, "SIGKILL");
  } catch {} // it has ended
}

/** One kind of what is killed: how often, and how. */
export interface Victim {
  readonly name: string;
  readonly times: number;
  /** Kills one, and starts again what does not start by itself; says whether one was there to be killed. */
  readonly kill: (pick: <T>(of: readonly T[]) => T | undefined) => boolean | Promise<boolean>;
}

/** Kills a server and starts it again some time later. */
export const serverDies = (name: string, times: number, servers: readonly Service[], awayMs: number): Victim => ({
  name,
  times,
  kill: async (pick) => {
    const server = pick(servers) as Service;
    server.process().kill("SIGKILL");
    await setTimeout(awayMs);
    server.start();
    return true;
  },
});

/** Kills processes of a kind; what is `restart` puts another one in their place. */
export const processDies = (
  name: string,
  times: number,
  find: () => readonly number[],
  restart = () => {},
): Victim => ({
  name,
  times,
  kill: (pick) => {
    const pid = pick(find());
    if (pid === undefined) return false;
    kill9(pid);
    restart();
    return true;
  },
});

/**
 * Has a sweep done while what does it is killed at random moments, and reads its results all the while. Says what was
 * killed and how long it took. Throws where a result is read that is not whole, a point is lost, or one is there twice.
 */
export async function underKills(
  folder: string,
  sweep: () => Promise<void>,
  victims: readonly Victim[],
  { seed = 1, spanMs = 20_000 } = {},
): Promise<{ killed: Record<string, number>; tookMs: number; reads: number }> {
  const random = randomFrom(seed);
  const pick = <T>(of: readonly T[]): T | undefined => of[Math.floor(random() * of.length)];
  const killed = Object.fromEntries(victims.map(({ name }) => [name, 0])) as Record<string, number>;
  const began = performance.now();
  let isOver = false;
  let reads = 0;
  const kill = async (): Promise<void> => {
    const moments = victims
      .flatMap((victim) => Array.from({ length: victim.times }, () => ({ victim, at: random() * spanMs })))
      .sort((a, z) => a.at - z.at);
    for (const { victim, at } of moments) {
      await setTimeout(Math.max(0, began + at - performance.now()));
      while (!isOver && !(await victim.kill(pick))) await setTimeout(20);
      if (isOver) return;
      killed[victim.name] = (killed[victim.name] ?? 0) + 1;
    }
  };
  const read = async (): Promise<void> => {
    for (; !isOver; await setTimeout(5)) {
      const id = pick([...doneIds(folder)]);
      if (id === undefined) continue;
      readResult(folder, id);
      reads++;
    }
  };
  const swept = sweep().finally(() => {
    isOver = true;
  });
  await Promise.all([swept, kill(), read()]);
  const tookMs = performance.now() - began;
  const { points } = readManifest(folder);
  const results = points.map(({ id }) => readResult(folder, id));
  assert.equal(new Set(results.map(({ id }) => id)).size, points.length);
  assert.deepEqual([...doneIds(folder)].sort(), points.map(({ id }) => id).sort());
  assert.deepEqual(
    results.filter(({ error }) => error !== undefined).map(({ error }) => error),
    [],
  );
  const left = readdirSync(path.join(folder, "results")).filter((name) => !/^[0-9a-f]{16}\.json$/.test(name));
  assert.deepEqual(left, []);
  return { killed, tookMs, reads };
}
