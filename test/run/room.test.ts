import assert from "node:assert/strict";
import { test } from "node:test";
import { unfitLine } from "../../src/report/sentences.js";
import { levers } from "../../src/run/levers.js";
import { besideBytes, roomBytes } from "../../src/run/room.js";
import { goldenRun } from "../golden-run.js";

const { plan: _, after: __, ...run } = goldenRun("resnet-h100");

const unplanned = { ...run, plan: null, after: null, equality: null, paired: null };

const { before } = unplanned;

/** The run as if its device had so much memory. */
const on = (memoryBytes: number) => ({
  ...unplanned,
  before: { ...before, device: { ...before.device, memoryBytes } },
});

test("besideBytes(profile) is all that the process holds beside the values, where a profile tells it", () => {
  assert.ok(before.memory);
  assert.equal(besideBytes(before), before.memory.contextBytes + (before.workspaceBytes ?? 0));
  const memory = { ...before.memory, kernelsBytes: 1, processBytes: before.memory.valuesBytes + 10 ** 12 };
  assert.equal(besideBytes({ ...before, memory }), 10 ** 12);
});

test("roomBytes(profile) is there where the step is too large", () => {
  assert.equal(roomBytes(before), null);
  assert.equal(unfitLine(unplanned), undefined);
  const small = on(besideBytes(before) + before.arenaBytes - 1);
  assert.equal(roomBytes(small.before), before.arenaBytes - 1);
  assert.match(unfitLine(small) ?? "", /^the step does not fit: its values need .* has .* of its .* for them$/);
  const { memory: ___, ...cpu } = small.before;
  assert.equal(roomBytes({ ...cpu, memory: null }), null);
});

test("levers(run) of a step that does not fit tell which would make it fit, with commands", () => {
  const room = Math.round(0.8 * before.arenaBytes);
  const found = levers(on(besideBytes(before) + room));
  const plan = found.find(({ kind }) => kind === "plan");
  assert.deepEqual([plan?.fits, plan?.flags], [true, `--budget ${room}B`]);
  const batch = found.find(({ kind }) => kind === "batch");
  assert.equal(batch?.fits, true);
  assert.match(batch?.command ?? "", /^mutwo profile .* --dim batch=\d+/);
});
