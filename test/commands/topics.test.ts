import assert from "node:assert/strict";
import { test } from "node:test";
import { topicList, topics, topicText } from "../../src/commands/topics.js";

test("every topic begins with what it is about, which is short enough for the list; its prose is at most 100 columns wide", () => {
  const names = topics();
  for (const name of ["losses", "optimizers", "budgets", "planners", "recordings", "numbers", "modules"])
    assert.ok(names.includes(name), name);
  for (const topic of names) {
    const [first = "", ...rest] = topicText(topic).split("\n");
    assert.match(first, /^# [A-Zm].{20,90}[^.]$/);
    const wide = rest.filter((line) => line.length > 100 && !/^ {4}|^# /.test(line));
    assert.deepEqual(wide, [], topic);
  }
  assert.equal(topicList().split("\n").length, names.length);
});
