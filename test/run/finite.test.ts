import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { bytesOf } from "../../src/graph/values.js";
import { firstNonFinite } from "../../src/run/finite.js";
import { openCpu } from "../../src/runtime/cpu.js";

const runtime = openCpu();

after(() => runtime.close());

const graph = parseGraph(`graph step(float32[2] x) => (z) {
  r = Flatten<axis=0>(x)
  a = Relu(x)
  y = Log(a)
  z = Exp(y)
}`);

const first = async (x: readonly number[]): Promise<string | undefined> =>
  (await firstNonFinite(graph, runtime, new Map([["x", bytesOf("float32", x)]])))?.op;

test("firstNonFinite(graph) names the node that makes an infinity or a NaN out of finite values", async () => {
  assert.equal(await first([1, 2]), undefined);
  assert.equal(await first([1, 0]), "Log");
  assert.equal(await first([1, 3e38]), undefined);
});

test("firstNonFinite(graph) names the first of several", async () => {
  assert.equal(await first([Number.POSITIVE_INFINITY, 0]), "Relu");
});
