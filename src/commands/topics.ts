import { readdirSync, readFileSync } from "node:fs";
import { ownPath } from "../root.js";

/** Topics in the order in which one reads them; others come after. */
const order = [
  "model",
  "losses",
  "optimizers",
  "train",
  "data",
  "budgets",
  "planners",
  "sweeps",
  "slurm",
  "bullmq",
  "ray",
  "kubernetes",
  "numbers",
  "modules",
  "recordings",
  "estimates",
];

const rank = (topic: string): number => (order.includes(topic) ? order.indexOf(topic) : order.length);

/** What `mutwo help TOPIC` tells: each is a file of templates/help. */
export const topics = (): string[] =>
  readdirSync(ownPath("templates", "help"))
    .map((file) => file.replace(/\.md$/, ""))
    .sort((a, z) => rank(a) - rank(z) || (a < z ? -1 : 1));

/** The text of a topic. */
export const topicText = (topic: string): string => readFileSync(ownPath("templates", "help", `${topic}.md`), "utf8");

/** The topics with what each is about, its first line, a line each. */
export function topicList(): string {
  const names = topics();
  const width = Math.max(...names.map((topic) => topic.length));
  const title = (topic: string): string => topicText(topic).split("\n", 1)[0]?.replace(/^# /, "") ?? "";
  return names.map((topic) => `  ${topic.padEnd(width)}  ${title(topic)}`).join("\n");
}
