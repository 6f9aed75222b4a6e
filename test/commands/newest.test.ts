import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { givenOrNewest, newestRuns, runsIn } from "../../src/commands/newest.js";

const place = mkdtempSync(path.join(tmpdir(), "mutwo-newest-"));

const started = process.cwd();

after(() => rmSync(place, { recursive: true }));

function put(name: string, changed: string): void {
  const file = path.join(place, "reports", name, "run.json");
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, "{}");
  utimesSync(file, new Date(changed), new Date(changed));
}

/** What is done in the folder of the runs, with what it says on stderr. */
function inPlace<T>(t: { mock: typeof test.mock }, what: () => T): { value: T; said: string } {
  const write = t.mock.method(process.stderr, "write", () => true);
  process.chdir(place);
  try {
    const value = what();
    return { value, said: write.mock.calls.map((call) => call.arguments[0]).join("") };
  } finally {
    process.chdir(started);
    write.mock.restore();
  }
}

test("givenOrNewest(undefined) is the newest run in ./reports by its name, which is said; one that is given is taken", (t) => {
  assert.deepEqual(runsIn(path.join(place, "reports")), []);
  assert.throws(
    () => inPlace(t, () => givenOrNewest(undefined)),
    /^Error: no run: reports\/\*\/run\.json \(name a run/,
  );
  put("20260102-000000-old-aaaa", "2026-03-01T00:00:00Z");
  assert.throws(() => inPlace(t, () => newestRuns(2)), /^Error: only one run: /);
  put("20260202-000000-new-bbbb", "2026-01-01T00:00:00Z");
  put("own name", "2026-01-15T00:00:00Z");
  writeFileSync(path.join(place, "reports", ".gitkeep"), "");
  mkdirSync(path.join(place, "reports", "20270101-000000-empty-cccc"));
  const files = ["20260202-000000-new-bbbb", "own name", "20260102-000000-old-aaaa"];
  assert.deepEqual(
    runsIn(path.join(place, "reports")),
    files.map((name) => path.join(place, "reports", name, "run.json")),
  );
  const newest = path.join("reports", "20260202-000000-new-bbbb", "run.json");
  assert.deepEqual(
    inPlace(t, () => givenOrNewest(undefined)),
    {
      value: newest,
      said: `run: ${newest} (the newest in reports)\n`,
    },
  );
  assert.deepEqual(
    inPlace(t, () => givenOrNewest("x")),
    { value: "x", said: "" },
  );
  assert.equal(inPlace(t, () => newestRuns(2)).value.length, 2);
});
