import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { topics, topicText } from "../src/commands/topics.js";
import { at } from "./at.js";
import { commandLines, plain, problemsOf } from "./command-lines.js";

// what README.md and the topics of `mutwo help` say, without running it: test/readme.test.ts does

const readme = readFileSync(at("../README.md"), "utf8");

process.chdir(at(".."));

for (const [name, text] of [["README.md", readme], ...topics().map((topic) => [topic, topicText(topic)])] as const)
  test(`every command line of ${name} is one that mutwo takes`, async () => {
    for (const line of commandLines(text).filter((one) => !/\bCOMMAND\b/.test(one)))
      assert.deepEqual(await problemsOf(plain(line)), [], line);
  });

test("every link of README.md and every topic leads to a file that is there; README.md links every topic", () => {
  const links = [...readme.matchAll(/\]\(([^)#]+)\)/g)].map(([, link = ""]) => link);
  assert.deepEqual(
    links.filter((link) => !existsSync(at("..", link))),
    [],
  );
  const missing = topics().filter((topic) => !links.includes(`templates/help/${topic}.md`));
  assert.deepEqual(missing, []);
});

test("the scripts that README.md starts by npm are there", () => {
  const { scripts } = JSON.parse(readFileSync(at("../package.json"), "utf8")) as { scripts: Record<string, string> };
  const named = [...readme.matchAll(/`npm (?:run )?(start|test|[a-z]+:?[a-z]*)\b/g)].map(([, script = ""]) => script);
  assert.ok(named.length >= 3);
  // npm has these itself
  const own = ["install", "pack"];
  for (const script of named) assert.ok(scripts[script] ?? own.includes(script), script);
});
