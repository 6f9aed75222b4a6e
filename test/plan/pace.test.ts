import assert from "node:assert/strict";
import { test } from "node:test";
import { Pace } from "../../src/plan/pace.js";

const effort = { moves: 100, seed: 1, timeLimitMs: 1e6 };

test("Pace is over when all moves are tried, or when its time is", () => {
  const pace = new Pace(effort);
  assert.ok(!pace.isOver());
  pace.tried = 100;
  assert.ok(pace.isOver());
  assert.ok(new Pace({ ...effort, timeLimitMs: -1 }).isOver());
});

test("Pace.begin(stretch) gives a part its own moves; the rest before it can be given back", () => {
  const pace = new Pace(effort);
  pace.tried = 10;
  const { rest } = pace;
  assert.equal(rest.moves, 90);
  pace.begin({ moves: 5, until: rest.until });
  pace.tried += 5;
  assert.ok(pace.isOver());
  pace.begin({ ...rest, moves: rest.moves - 5 });
  assert.deepEqual([pace.isOver(), pace.moves], [false, 100]);
});

test("Pace.limit and extend: never more moves than were asked for", () => {
  const pace = new Pace(effort);
  pace.limit(() => {});
  assert.equal(pace.moves, 100);
  pace.moves = 3;
  pace.tried = 3;
  pace.extend();
  assert.equal(pace.moves, 100);
});

test("Pace.limit leaves moves for the time that is left, however long it took until then", () => {
  const pace = new Pace({ ...effort, moves: 1e9, timeLimitMs: 400 });
  const until = performance.now() + 100;
  while (performance.now() < until);
  pace.limit(() => {});
  assert.ok(pace.moves > 0 && pace.moves < 1e9, `${pace.moves}`);
});
