import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { EngineJob } from "../src/sweep/engine.js";
import { sweepFolder } from "./sweep-of.js";

/** A job of three tasks. */
export const jobOf = (name: string, changed: Partial<EngineJob> = {}): EngineJob => {
  const folder = sweepFolder(name);
  mkdirSync(path.join(folder, "logs"), { recursive: true });
  return {
    name: "mutwo-1a2b3c4d",
    folder,
    mutwo: ["node", "/opt/mu two/cli.js"],
    words: [path.join(folder, "manifest.jsonl"), "--retries", "2", "--index"],
    tasks: ["0-9", "10,12", "17"],
    settings: {},
    ...changed,
  };
};

/**
 * Programs in the place of those that are not here, first in PATH: each notes its words and what it reads, and does what a
 * shell's commands say. `calls` are what they were called with, in order; `restore` gives PATH back.
 */
export function programsIn(
  folder: string,
  programs: Readonly<Record<string, string>>,
): { calls: () => { program: string; words: string[]; input: string }[]; restore: () => void } {
  const place = path.join(folder, "bin");
  mkdirSync(place, { recursive: true });
  const log = path.join(place, "calls");
  writeFileSync(log, "");
  for (const [name, commands] of Object.entries(programs)) {
    const note = `{ printf '%s\\037' ${name} "$@"; printf '\\036'; cat; printf '\\035'; } >> '${log}'`;
    writeFileSync(path.join(place, name), `#!/bin/sh\n${note}\n${commands}\n`);
    chmodSync(path.join(place, name), 0o755);
  }
  const { PATH } = process.env;
  process.env.PATH = `${place}:${PATH}`;
  return {
    calls: () =>
      readFileSync(log, "utf8")
        .split("\x1d")
        .filter(Boolean)
        .map((call) => {
          const [words = "", input = ""] = call.split("\x1e");
          const [program = "", ...rest] = words.split("\x1f").slice(0, -1);
          return { program, words: rest, input };
        }),
    restore: () => {
      process.env.PATH = PATH;
    },
  };
}
