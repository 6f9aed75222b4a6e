import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { existsSync, rmSync } from "node:fs";
import { test } from "node:test";
import { writeManifest } from "../../src/sweep/manifest.js";
import { openFolder, resultFile } from "../../src/sweep/result.js";
import type { Answer, Order } from "../../src/sweep/worker.js";
import { at } from "../at.js";
import { sweepFolder, wanted } from "../sweep-of.js";

test("a worker says that it is there, does the points that it is given, and ends with who started it", async () => {
  const { points, ...manifest } = writeManifest(sweepFolder("worker"), [wanted(2), wanted(2, "95%")]);
  const temporary = openFolder(manifest.folder);
  const child = fork(at("../src/sweep/worker.ts"));
  const asked = async (order: Order): Promise<Answer> => {
    const answer = once(child, "message");
    child.send(order);
    return (await answer)[0] as Answer;
  };
  assert.deepEqual(await asked({ start: { manifest, temporary, retries: 2, device: undefined } }), { isReady: true });
  for (const point of points) {
    assert.deepEqual(await asked({ point }), { outcome: { state: "done" } });
    assert.ok(existsSync(resultFile(manifest.folder, point.id)));
  }
  child.kill("SIGINT");
  assert.deepEqual(await asked({ point: points[0]! }), { outcome: { state: "done" } });
  const ended = once(child, "exit");
  child.disconnect();
  assert.deepEqual(await ended, [0, null]);
  rmSync(temporary, { recursive: true });
});
