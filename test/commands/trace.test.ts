import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { memorySnapshot } from "../../src/report/memory-snapshot.js";
import { traceJson } from "../../src/report/trace.js";
import { timedSteps } from "../../src/run/timed-steps.js";
import { goldenRun } from "../golden-run.js";
import { program } from "../program.js";

const folder = mkdtempSync(path.join(tmpdir(), "mutwo-trace-"));

after(() => rmSync(folder, { recursive: true }));

const run = goldenRun("resnet-h100");

/** A run's folder. */
function saved(name: string, content: object): string {
  const place = path.join(folder, name);
  mkdirSync(place);
  writeFileSync(path.join(place, "run.json"), JSON.stringify(content));
  return place;
}

const whole = saved("whole", run);

const bare = saved("bare", { ...run, plan: null, after: null });

const trace = (...args: string[]) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [...program, "trace", ...args], { encoding: "utf8" });
  return { status, stdout, stderr };
};

test("mutwo trace RUN writes both steps beside run.json and says where to look at them", () => {
  const file = path.join(whole, "trace.json");
  assert.deepEqual(trace(whole), {
    status: 0,
    stdout: `trace: ${file} (open it in https://ui.perfetto.dev or chrome://tracing)\n`,
    stderr: "",
  });
  assert.equal(readFileSync(file, "utf8"), traceJson(run, timedSteps(run)));
});

test("mutwo trace RUN --format memory-viz --step planned --out FILE writes that step there", () => {
  const file = path.join(folder, "one.pickle");
  const { status, stdout } = trace(
    path.join(whole, "run.json"),
    "--format",
    "memory-viz",
    "--step",
    "planned",
    "--out",
    file,
  );
  assert.deepEqual([status, stdout], [0, `trace: ${file} (open it in https://pytorch.org/memory_viz)\n`]);
  assert.deepEqual(readFileSync(file), Buffer.from(memorySnapshot(run, timedSteps(run).slice(1))));
});

const wrong: readonly (readonly [what: string, args: readonly string[], message: RegExp])[] = [
  [
    "an unknown format",
    [whole, "--format", "svg"],
    /argument 'svg' is invalid\. Allowed choices are perfetto, memory-viz\./,
  ],
  ["a planned step without a plan", [bare, "--step", "planned"], /^mutwo: run has no plan: .*run\.json$/m],
  ["a run that is not there", [path.join(folder, "none")], /^mutwo: cannot read run: .*none \(ENOENT\)$/m],
  ["a file that cannot be written", [whole, "--out", folder], /^mutwo: trace not writable: .* \(EISDIR\)$/m],
];

for (const [what, args, message] of wrong)
  test(`mutwo trace refuses ${what} in a line`, () => {
    const { status, stdout, stderr } = trace(...args);
    assert.deepEqual([status, stdout], [2, ""]);
    assert.match(stderr, message);
    assert.doesNotMatch(stderr, /^ +at /m);
  });

test("mutwo trace of a run without a plan writes the unplanned step", () => {
  assert.equal(trace(bare).status, 0);
  const { traceEvents } = JSON.parse(readFileSync(path.join(bare, "trace.json"), "utf8")) as {
    traceEvents: { pid: number }[];
  };
  assert.deepEqual([...new Set(traceEvents.map(({ pid }) => pid))], [1]);
  assert.ok(!existsSync(path.join(bare, "memory.pickle")));
});
