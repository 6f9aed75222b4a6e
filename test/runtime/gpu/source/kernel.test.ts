import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../../../src/build/text.js";
import { named, parameters } from "../../../../src/runtime/gpu/source/kernel.js";

test("named(text, blocks, threads) is one name for one text and number of threads, whatever the grid", () => {
  const text = (body: string) => (name: string) => `void ${name}() { ${body} }`;
  const kernel = named(text("a"), 1, 256);
  assert.equal(kernel.source, `void ${kernel.name}() { a }`);
  assert.equal(named(text("a"), 7, 256).name, kernel.name);
  assert.notEqual(named(text("b"), 1, 256).name, kernel.name);
  assert.notEqual(named(text("a"), 1, 128).name, kernel.name);
});

test("parameters(body) are its inputs, which are not written, then its outputs, by their types in memory", () => {
  const body = parseGraph("graph(float16[4] x, int64[4] i) => (y, z) { y = Exp(x) z = Greater(x, x) }");
  assert.equal(parameters(body), "const __half* x, const long long* i, __half* y, unsigned char* z");
});
