import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { profileModel } from "../../src/notebook/live.js";
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
