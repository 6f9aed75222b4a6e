import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { display, escapeHtml, runningKernel } from "../../src/notebook/cell.js";

const place = globalThis as { [key: symbol]: unknown };
const kernel = Symbol.for("mutwo.kernel");

/** Other tests of the same process may have left one. */
const forget = (): void => void delete place[kernel];

beforeEach(forget);

afterEach(forget);

test("display(data) hands the kernel an output, and again in place", () => {
  assert.equal(runningKernel(), undefined);
  assert.throws(() => display({ "text/plain": "a" }, "test"), /^Error: not in a notebook: test$/);
  const messages: unknown[] = [];
  place[kernel] = { cell: null, display: (message: unknown, update: boolean) => messages.push([message, update]) };
  display({ "text/plain": "a" }, "test");
  display({ "text/plain": "b" }, "test", { id: "1", update: true });
  assert.deepEqual(messages, [
    [{ data: { "text/plain": "a" }, metadata: {}, transient: {} }, false],
    [{ data: { "text/plain": "b" }, metadata: {}, transient: { display_id: "1" } }, true],
  ]);
});

test("escapeHtml(text) leaves nothing that ends a tag or an attribute", () => {
  assert.equal(escapeHtml('<a href="&">'), "&lt;a href=&quot;&amp;&quot;&gt;");
});
