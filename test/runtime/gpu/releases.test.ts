import assert from "node:assert/strict";
import { test } from "node:test";
import { Releases } from "../../../src/runtime/gpu/releases.js";

test("close() gives back in reverse order, once, whatever fails", () => {
  const releases = new Releases();
  const done: string[] = [];
  releases.add(() => done.push("first"));
  releases.add(() => {
    throw new Error("the GPU failed");
  });
  releases.add(() => done.push("last"));
  assert.equal(releases.isClosed, false);
  releases.close();
  releases.close();
  assert.deepEqual(done, ["last", "first"]);
  assert.equal(releases.isClosed, true);
});
