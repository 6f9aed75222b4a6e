import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { arrayData } from "../../src/data/arrays.js";
import { batchesOf, profileModel } from "../../src/notebook/live.js";
import { at } from "../at.js";

const place = globalThis as { [key: symbol]: unknown };
const kernel = Symbol.for("mutwo.kernel");

afterEach(() => {
  delete place[kernel];
});

const model = at("fixtures/gcn.dynamo.onnx");
const options = { loss: "ce", optimizer: "sgd", iterations: 1, warmups: 0 };

test("profileModel shows its stages in a notebook, and nothing elsewhere", async () => {
  const plain = await profileModel(model, options);
  const shown: string[] = [];
  place[kernel] = {
    cell: { count: 1, code: "", signal: new AbortController().signal },
    display: ({ data }: { data: Record<string, string> }) => shown.push(data["text/plain"] ?? ""),
  };
  const run = await profileModel(model, options);
  assert.equal(run.before.arenaBytes, plain.before.arenaBytes);
  assert.ok(
    shown.some((text) => text.endsWith("read model")) && shown.some((text) => / profile( \d\/\d)?$/.test(text)),
    shown.join("\n"),
  );
});

test("batchesOf ends when the cell is interrupted, or by the caller's own signal", async () => {
  const data = arrayData({ x: { shape: [8, 1], data: new Float32Array(8) } });
  const batch = [{ name: "x", dtype: "float32", shape: [2, 1], isTarget: false }] as const;
  const given = { batch, batchSize: 2, last: "drop" } as const;
  const count = async (stopAfter: number, stop: AbortController, signal?: AbortSignal): Promise<number> => {
    let used = 0;
    try {
      for await (const _ of batchesOf(data, { ...given, signal })) if (++used === stopAfter) stop.abort();
    } catch (error) {
      assert.equal((error as Error).name, "AbortError");
    }
    return used;
  };
  const own = new AbortController();
  assert.deepEqual([await count(9, own), await count(1, own, own.signal)], [4, 1]);
  for (const isOwn of [false, true]) {
    const [cell, own] = [new AbortController(), new AbortController()];
    place[kernel] = { cell: { count: 1, code: "", signal: cell.signal }, display: null };
    assert.equal(await count(2, isOwn ? own : cell, own.signal), 2);
  }
});
