import { readFileSync } from "node:fs";
import { ownPath } from "../root.js";

/** What `mutwo help TOPIC` tells, in the order of the list: each is a file of templates/help. */
export const topics = [
  "model",
  "losses",
  "optimizers",
  "budgets",
  "planners",
  "numbers",
  "modules",
  "recordings",
  "estimates",
  "cuda",
  "export",
  "benchmarks",
  "security",
] as const;

export type Topic = (typeof topics)[number];

export const isTopic = (name: string): name is Topic => topics.some((topic) => topic === name);

/** The text of a topic. */
export const topicText = (topic: Topic): string => readFileSync(ownPath("templates", "help", `${topic}.md`), "utf8");

/** A topic's first line without its mark: what the text is about. */
export const topicTitle = (topic: Topic): string => topicText(topic).split("\n", 1)[0]?.replace(/^# /, "") ?? "";

/** The topics with what each is about, a line each. */
export function topicList(): string {
  const width = Math.max(...topics.map((topic) => topic.length));
  return topics.map((topic) => `  ${topic.padEnd(width)}  ${topicTitle(topic)}`).join("\n");
}
