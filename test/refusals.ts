import assert from "node:assert/strict";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { readRun } from "../src/run/read-run.js";
import type { Run } from "../src/run/run.js";

/** A golden run with one of its parts changed. */
export type Change = readonly [place: string, value: unknown, problem: string | RegExp];

/** A copy of a value with another value at a place; undefined leaves it out. */
export function withPlace(value: unknown, [key, ...rest]: readonly string[], by: unknown): unknown {
  if (key === undefined) return by;
  const copy = (Array.isArray(value) ? [...value] : { ...(value as object) }) as Record<string, unknown>;
  copy[key] = withPlace(copy[key], rest, by);
  return copy;
}

/** Asserts that each change of a run makes readRun say that problem. */
export function refuses(golden: Run, changes: readonly Change[]): void {
  const changed = path.join(mkdtempSync(path.join(tmpdir(), "mutwo-refusals-")), "run.json");
  for (const [place, value, problem] of changes) {
    writeFileSync(changed, JSON.stringify(withPlace(golden, place.split("."), value)));
    assert.throws(
      () => readRun(changed),
      ({ message }: Error) => {
        const line = message.replace(` (${changed})`, "");
        if (typeof problem === "string") assert.equal(line, problem);
        else assert.match(line, problem);
        return true;
      },
      `${place} of ${JSON.stringify(value)}`,
    );
  }
}
