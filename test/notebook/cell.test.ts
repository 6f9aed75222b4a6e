import assert from "node:assert/strict";
import { test } from "node:test";
import { display, escapeHtml, runningKernel } from "../../src/notebook/cell.js";

const place = globalThis as { [key: symbol]: unknown };
const kernel = Symbol.for("mutwo.kernel");

test("display(data) hands the kernel an output, and again in place", () => {
  const before = place[kernel]; // of another test of the same process
  delete place[kernel];
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
  place[kernel] = before;
});

test("escapeHtml(text) leaves nothing that ends a tag or an attribute", () => {
  assert.equal(escapeHtml('<a href="&">'), "&lt;a href=&quot;&amp;&quot;&gt;");
});
