import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import { fuzz, report } from "./fuzz/fuzz.js";
import { mutantOf } from "./fuzz/mutate.js";
import { seeds } from "./fuzz/seeds.js";
import { problemOf } from "./message.js";

/** Time in which mutants begin, s; and the seed, so that what fails here fails there. */
const [seconds, seed] = [60, 1];

test("mutantOf(seeds, seed, index) is the same mutant each time, and another for another index", () => {
  const all = seeds();
  assert.deepEqual(mutantOf(all, 3, 7), mutantOf(all, 3, 7));
  assert.notDeepEqual(mutantOf(all, 3, 7).bytes, mutantOf(all, 3, 8).bytes);
});

test("problemOf(error) finds messages of JavaScript and C++, long ones, and control characters", () => {
  const caught = (work: () => unknown): unknown => {
    try {
      work();
    } catch (error) {
      return error;
    }
    return assert.fail("nothing thrown");
  };
  assert.equal(problemOf(new Error("unknown op: X (node a)")), "");
  assert.notEqual(problemOf(caught(() => (undefined as unknown as { a: 1 }).a)), "");
  const inner = caught(() => new Array(-1));
  assert.notEqual(problemOf(new Error(`${(inner as Error).message} (node a)`, { cause: inner })), "");
  assert.notEqual(problemOf(new Error("std::bad_alloc (while running a: Add)")), "");
  assert.notEqual(problemOf(new Error("/src/core/common.h:31 axis")), "");
  assert.equal(problemOf(new Error("n".repeat(301))), "301 characters");
  assert.notEqual(problemOf(new Error("a\nb")), "");
  assert.notEqual(problemOf(new Error("a\u001b[0m")), "");
});

test(`no mutant hurts in ${seconds} s: no signal, no run over 10 s, one line in our own words`, async (t) => {
  const found = await fuzz({ seed, seconds });
  t.diagnostic(`seed ${seed}: ${found.mutants} mutants, ${found.refused} refused, ${found.trained} trained`);
  const folder = path.join(os.tmpdir(), "mutwo-fuzz");
  if (found.failures.length) mkdirSync(folder, { recursive: true });
  assert.ok(found.mutants > 100, `only ${found.mutants} mutants`);
  assert.ok(found.trained > found.mutants / 50, `only ${found.trained} of ${found.mutants} mutants train`);
  assert.deepEqual(
    found.failures.map((failure) => report(failure, folder)),
    [],
  );
});
