// Prints failures as they come and ends in the line `N passed, M failed`.
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
    if (data.skip !== undefined) {
      skipped++;
      yield `skipped: ${data.name} (${data.skip || "no reason"})\n`;
    } else if (type === "test:pass") passed++;
    else {
      failed++;
      const { error } = data.details;
      yield `FAILED: ${data.name}\n  at ${data.file ?? "?"}:${data.line ?? "?"}\n`;
      yield `${String(error?.cause?.stack ?? error?.cause ?? error?.stack ?? error)}\n`;
    }
  }
  if (passed + failed + skipped === 0) {
    process.exitCode = 2;
    yield "no test has such a name\n";
  }
  yield `\n${((Date.now() - started) / 1000).toFixed(0)} s\n`;
  yield `${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ""}\n`;
}
