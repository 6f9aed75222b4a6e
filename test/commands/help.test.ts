import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { program } from "../../src/commands/program.js";
import { topics, topicText } from "../../src/commands/topics.js";

/** What `mutwo help` prints behind these words. */
async function help(t: TestContext, ...words: string[]): Promise<string> {
  const write = t.mock.method(process.stdout, "write", () => true);
  try {
    await program().parseAsync(["help", ...words], { from: "user" });
    return write.mock.calls.map((call) => String(call.arguments[0])).join("");
  } finally {
    write.mock.restore();
  }
}

test("mutwo help TOPIC prints the topic, mutwo help COMMAND the command's help, mutwo help both lists", async (t) => {
  assert.equal(await help(t, "losses"), topicText("losses"));
  assert.match(await help(t, "profile"), /^Usage: mutwo profile \[options\] <model> \[others...\]\n/);
  assert.match(await help(t, "notebook", "run"), /^Usage: mutwo notebook run /);
  const all = await help(t);
  assert.match(all, /^Usage: mutwo \[options\] \[command\]\n/);
  for (const topic of topics()) assert.match(all, new RegExp(`^  ${topic} +\\S`, "m"));
  for (const words of [["loses"], ["notebook", "walk"]])
    await assert.rejects(help(t, ...words), /^Error: unknown topic or command: \w+( \w+)? \(nearest: \w+, \w+, \w+\)$/);
});
