import assert from "node:assert/strict";
import { test } from "node:test";
import { Workspace } from "../../../src/runtime/gpu/workspace.js";
import { FakeMemory } from "./fake-memory.js";

const opened = () => {
  const memory = new FakeMemory();
  return { memory, workspace: new Workspace(memory) };
};

test("during(call) takes memory that settle makes one region, and returns the most that was taken at one time", () => {
  const { memory, workspace } = opened();
  const call = (): void => {
    const first = workspace.take(1000);
    workspace.giveBack(first);
    const [a, b] = [workspace.take(300), workspace.take(500)];
    workspace.giveBack(a);
    workspace.giveBack(b);
  };
  assert.equal(workspace.during(call), 1024 + 512); // the piece of 1000 is taken again for the one of 300
  assert.deepEqual([...memory.held.values()], [1024, 512]);
  assert.equal(workspace.version, 0);
  workspace.settle();
  assert.equal(workspace.version, 1);
  assert.deepEqual([...memory.held.values()], [1536]);
  assert.equal(workspace.heldBytes, 1536);
  assert.equal(workspace.during(call), 1024);
  assert.deepEqual([...memory.held.values()], [1536]);
  workspace.close();
  assert.equal(memory.held.size, 0);
});

test("settle() of a region that was as large as needed moves nothing", () => {
  const { workspace } = opened();
  const call = (): void => workspace.giveBack(workspace.take(256));
  workspace.during(call);
  workspace.settle();
  workspace.during(call);
  workspace.settle();
  assert.equal(workspace.version, 1);
});

test("settle() while a piece is taken does nothing", () => {
  const { workspace } = opened();
  workspace.during(() => void workspace.take(256));
  workspace.settle();
  assert.equal(workspace.version, 0);
});

test("take(bytes) during a call begins with what lies idle in the arena, and counts it", () => {
  const { memory, workspace } = opened();
  const idle = { at: 0x100000n, bytes: 1024 };
  const places: bigint[] = [];
  const most = workspace.during(() => {
    for (const bytes of [512, 512, 1]) places.push(workspace.take(bytes));
    assert.equal(workspace.availableBytes, 0);
    for (const at of places.toReversed()) workspace.giveBack(at);
    // all pieces are back: the idle memory is free again
    places.push(workspace.take(1024));
  }, idle);
  assert.deepEqual([places[0], places[1], places[3]], [idle.at, idle.at + 512n, idle.at]);
  assert.deepEqual([...memory.held.keys()], [places[2]]);
  assert.ok(most >= 1024 + 256);
});

test("a call that may keep what it takes has what lies idle in the arena only for what it takes briefly", () => {
  const { memory, workspace } = opened();
  const idle = { at: 0x100000n, bytes: 1024 };
  workspace.during(
    () => {
      assert.equal(workspace.availableBytes, 1024);
      const kept = workspace.take(256);
      assert.ok(memory.held.has(kept));
      assert.equal(workspace.takeBriefly(256), idle.at);
      workspace.withPieces([256], ([at]) => assert.equal(at, idle.at + 256n));
    },
    idle,
    true,
  );
});

test("pieces of the region are given back in any order; those below wait for those above", () => {
  const { workspace } = opened();
  workspace.during(() => {
    const all = [workspace.take(256), workspace.take(256), workspace.take(256)];
    for (const at of all) workspace.giveBack(at);
  });
  workspace.settle();
  workspace.during(() => {
    const [a, b] = [workspace.take(256), workspace.take(256)];
    workspace.giveBack(a);
    assert.equal(workspace.availableBytes, 256);
    workspace.giveBack(b);
    assert.equal(workspace.availableBytes, 768);
    assert.equal(workspace.take(512), a);
  });
});

test("take(bytes) between calls is memory of its own, which stays until it is given back", () => {
  const { memory, workspace } = opened();
  const at = workspace.take(10);
  workspace.during(() => workspace.giveBack(workspace.take(256)));
  workspace.settle();
  assert.equal(memory.held.get(at), 256);
  workspace.giveBack(at);
  assert.ok(!memory.held.has(at));
});

test("withPieces(sizes, work) gives the pieces back, also where the work throws", () => {
  const { memory, workspace } = opened();
  workspace.withPieces([100, 300], (pieces) => assert.deepEqual([...memory.held.keys()], pieces));
  assert.equal(memory.held.size, 0);
  const failing = (): never => {
    throw new Error("stopped");
  };
  assert.throws(() => workspace.withPieces([100], failing), /^Error: stopped$/);
  assert.equal(memory.held.size, 0);
});
