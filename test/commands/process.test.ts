import assert from "node:assert/strict";
import { test } from "node:test";
import { Interrupted, interruptible, printJson } from "../../src/commands/process.js";

test("printJson(object) writes one line", (t) => {
  const write = t.mock.method(process.stdout, "write", () => true);
  printJson({ a: [1, "two\nlines"] });
  const written = write.mock.calls.map((call) => call.arguments[0]);
  write.mock.restore();
  assert.deepEqual(written, ['{"a":[1,"two\\nlines"]}\n']);
});

for (const name of ["SIGINT", "SIGTERM"] as const)
  test(`interruptible() is aborted by the first ${name} and leaves the second to the system`, () => {
    const before = { SIGINT: process.listeners("SIGINT"), SIGTERM: process.listeners("SIGTERM") };
    const signal = interruptible();
    assert.equal(signal.aborted, false);
    process.emit(name);
    assert.ok(signal.reason instanceof Interrupted);
    assert.equal(String(signal.reason), `Error: interrupted (${name})`);
    assert.deepEqual(process.listeners(name), before[name]);
    for (const other of ["SIGINT", "SIGTERM"] as const)
      for (const listener of process.listeners(other))
        if (!before[other].includes(listener)) process.removeListener(other, listener);
  });
