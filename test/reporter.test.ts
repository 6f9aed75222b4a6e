import assert from "node:assert/strict";
import { test } from "node:test";
import { at } from "./at.js";

type Reporter = (events: readonly object[]) => AsyncIterable<string>;

/** What the reporter prints of one failure. */
async function printed(error: object, file?: string): Promise<string[]> {
  const { default: reporter } = (await import(at("reporter.mjs"))) as { default: Reporter };
  const lines: string[] = [];
  const event = { type: "test:fail", data: { name: "a test", file, line: 2, details: { error } } };
  for await (const text of reporter([event])) lines.push(...text.split("\n"));
  return lines;
}

test("reporter prints of a failure the line of the test file that the error names, not the runner's", async () => {
  const stack = [
    `Error: at ${at("x.test.ts")}:1:1`,
    `    at Object.check (${at("problem.ts")}:3:4)`,
    `    at async TestContext.<anonymous> (${at("ops/op.test.ts")}:56:7)`,
    "    at Test.run (node:internal/test_runner/test:796:25)",
  ];
  const place = async (lines: readonly string[], file?: string) =>
    (await printed({ cause: { stack: lines.join("\n") } }, file))[1];
  assert.equal(await place(stack), "  at test/ops/op.test.ts:56");
  assert.equal(await place(stack.slice(0, 2)), "  at test/problem.ts:3");
  assert.equal(await place(stack.slice(0, 1), at("ops/op.test.ts")), "  at test/ops/op.test.ts");
  assert.equal((await printed({ cause: "no stack" }))[1], "  at ?");
});
