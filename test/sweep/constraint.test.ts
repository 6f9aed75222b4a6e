import assert from "node:assert/strict";
import { test } from "node:test";
import { checkNames, parseConstraint } from "../../src/sweep/constraint.js";

const point: Readonly<Record<string, string | number>> = {
  batch: 8,
  length: 128,
  budget: "60%",
  planner: "best",
  "a dim": 3,
  hostMemory: "2GiB",
};

const cases: readonly [text: string, holds: boolean][] = [
  ["batch * length <= 1024", true],
  ["batch * length < 1024", false],
  ["batch + 2 * length == 264", true],
  ["(batch + 2) * length == 1280", true],
  ["length - batch - 8 == 112", true],
  ["batch % 4 == 0 and length % 64 == 0", true],
  ["-batch < 0", true],
  ["budget >= 50%", true],
  ["budget < 60%", false],
  ["budget == 60.0%", true],
  ["budget < 4GiB", false],
  ["hostMemory == 2048MiB", true],
  ["hostMemory > 1.5GiB", true],
  ['planner == "best" or batch > 100', true],
  ["planner != 'best'", false],
  ["planner < 3", false],
  ["seed == none", true],
  ["seed != none or batch == 8", true],
  ["seed < 5", false],
  ["seed + 1 > 0", false],
  ["not batch > 8 and not (length < 8)", true],
  ["batch > 1 and batch < 8 or length == 128", true],
  ["batch > 1 and (batch < 8 or length == 1)", false],
  ["`a dim` == 3", true],
  ["batch", false],
  ["true and batch == 8", true],
];

for (const [text, holds] of cases)
  test(`parseConstraint: ${text} is ${holds} of the point`, () => {
    assert.equal(
      parseConstraint(text).holds((name) => point[name]),
      holds,
    );
  });

test("parseConstraint(text): one line for what is none", () => {
  for (const text of [
    "",
    "batch <",
    "batch <= 4 4",
    "(batch == 1",
    "batch = 4",
    "and",
    "batch @ 2",
    "(".repeat(60),
    "4x",
  ])
    assert.throws(() => parseConstraint(text), { message: /^constraint cannot be read: .*use names, numbers/s }, text);
});

test("checkNames(constraint, known) names what no point has, and what is like it", () => {
  const constraint = parseConstraint("batsh * length < 4");
  assert.deepEqual([...constraint.names], ["batsh", "length"]);
  assert.throws(() => checkNames(constraint, ["batch", "length", "planner", "seed"]), {
    message: /^unknown name in a constraint: batsh \(nearest: batch, .*in batsh \* length < 4\)$/,
  });
  checkNames(constraint, ["batsh", "length"]);
});
