// Prints failures as they come and ends in the line `N passed, M failed`.
import path from "node:path";
import { fileURLToPath } from "node:url";
import { inspect } from "node:util";

const here = path.dirname(fileURLToPath(import.meta.url));

/**
 * Where a test failed, `FILE:LINE`: the first place in a test file that the error's stack names, else the first in test/,
 * else the test's file without a line: the runner's line is that of what tsx made of the file.
 */
function placeOf(stack, file = "?") {
  const places = stack.split("\n").flatMap((line) => {
    const start = line.indexOf(here + path.sep);
    const [, place] = /^(.+:\d+):\d+\)?$/.exec(start < 0 || !/^ +at /.test(line) ? "" : line.slice(start)) ?? [];
    return place ? [place] : [];
  });
  const place = places.find((one) => one.includes(".test.ts:")) ?? places[0] ?? file;
  return place.startsWith(here + path.sep) ? path.relative(path.dirname(here), place) : place;
}

export default async function* reporter(source) {
  let passed = 0;
  let failed = Number(process.env.MUTWO_CHECKS_FAILED ?? 0);
  let skipped = 0;
  const started = Date.now();
  for await (const { type, data } of source) {
    if (type === "test:stderr" || type === "test:stdout") yield data.message;
    if (type !== "test:pass" && type !== "test:fail") continue;
    if (data.details?.type === "suite") continue;
    if (data.skip === "test name does not match pattern") continue; // Node 20 tells of what -t leaves out
    // newer ones tell of a file of which -t leaves nothing
    if (type === "test:pass" && path.resolve(data.name) === data.file) continue;
    if (data.skip !== undefined) {
      skipped++;
      yield `skipped: ${data.name} (${data.skip || "no reason"})\n`;
    } else if (type === "test:pass") passed++;
    else {
      failed++;
      const { error } = data.details;
      const thrown = error?.cause?.stack ?? error?.cause ?? error?.stack ?? error;
      // an object without a prototype has no text of its own
      const stack = typeof thrown === "string" ? thrown : inspect(thrown);
      yield `FAILED: ${data.name}\n  at ${placeOf(stack, data.file)}\n${stack}\n`;
    }
  }
  if (passed + failed + skipped === 0) {
    process.exitCode = 2;
    yield "no test has such a name\n";
  }
  yield `\n${((Date.now() - started) / 1000).toFixed(0)} s\n`;
  yield `${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ""}\n`;
}
