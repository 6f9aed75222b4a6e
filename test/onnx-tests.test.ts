import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import { casesFolder, casesIn, runCases } from "./onnx/cases.js";
import type { CaseVerdict, Verdict } from "./onnx/child.js";
import { known } from "./onnx/known.js";
import { shiftsOf, slopeOf } from "./onnx/slope.js";

/** slopeOf of a function, which is only asked where `shiftsOf` says. */
function slope(f: (x: number) => number, h = 1e-3) {
  const allowed = new Set(shiftsOf(h));
  return slopeOf((shift) => (allowed.has(shift) ? f(shift) : assert.fail(`asked at ${shift}`)), h, {
    least: 1e-15,
    most: 1e-5,
  });
}

test("slopeOf(f, h) is the derivative of a smooth function with its error, and none at kinks and jumps", () => {
  for (const [f, expected] of [
    [(x: number) => Math.exp(2 * x), 2],
    [(x: number) => 5 - 3 * x, -3],
    [(x: number) => Math.fround(7 + x), 1],
    [() => 4, 0],
  ] as const) {
    const found = slope(f) ?? assert.fail("no slope");
    assert.ok(Math.abs(found.slope - expected) <= found.error + 1e-9, `${found.slope} for ${expected}`);
  }
  assert.ok((slope(Math.exp)?.error ?? 1) < 1e-6);
  assert.equal(slope(Math.abs), undefined);
  assert.equal(
    slope((x) => Math.max(0, x - 5e-4)),
    undefined,
  );
  assert.equal(
    slope((x) => (x > 0 ? 1 : 0)),
    undefined,
  );
  assert.equal(
    slope((x) => Math.sqrt(x)),
    undefined,
  );
});

const counted = (verdicts: readonly Verdict[]): string => {
  const counts = new Map<string, number>();
  for (const { kind } of verdicts) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return [...counts].map(([kind, count]) => `${count} ${kind}`).join(", ");
};

/** Cases whose values or gradients have that kind of verdict. */
const linesOf = (verdicts: ReadonlyMap<string, CaseVerdict>, part: keyof CaseVerdict, kinds: readonly string[]) =>
  [...verdicts].flatMap(([name, verdict]) => {
    const { kind, why } = verdict[part];
    return kinds.includes(kind) ? [`${name}: ${part} ${kind}: ${why}`] : [];
  });

test("ONNX's backend tests give ONNX's values, and the gradients of central differences, or are refused by name", {
  skip: casesFolder ? false : "ONNX's tests are not here: apt-get install libonnx-testdata, or ONNX_TESTS=FOLDER",
}, async (t) => {
  const folder = casesFolder as string;
  const names = casesIn(folder);
  assert.ok(names.length > 500, `only ${names.length} cases in ${folder}`);
  const verdicts = await runCases(folder, names);
  t.diagnostic(`values of ${verdicts.size} cases: ${counted([...verdicts.values()].map(({ forward }) => forward))}`);
  t.diagnostic(`gradients: ${counted([...verdicts.values()].map(({ gradient }) => gradient))}`);
  const wrong = [
    ...linesOf(verdicts, "forward", ["differs", "crashed"]),
    ...linesOf(verdicts, "gradient", ["differs", "crashed"]),
  ];
  const caseOf = (line: string): string => path.basename(line.split(":")[0] as string);
  assert.deepEqual(
    wrong.filter((line) => !known.has(caseOf(line))),
    [],
  );
  const found = new Set(wrong.map(caseOf));
  const here = new Set(names.map((name) => path.basename(name)));
  assert.deepEqual(
    [...known.keys()].filter((name) => here.has(name) && !found.has(name)),
    [],
    "differ no longer",
  );
  // of the 1 072 of Debian: the others are of opsets before 7, or of ops that mutwo does not know
  const equal = linesOf(verdicts, "forward", ["equal"]).length;
  assert.ok(equal >= 750, `only ${equal} of ${verdicts.size} cases are equal`);
});
