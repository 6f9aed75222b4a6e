import type { Command } from "commander";
import { nearest } from "../format.js";
import { topicList, topics, topicText } from "./topics.js";

/** `mutwo help`: the commands and topics; a topic's text, or a command's help. */
export function helpCommand(root: Command): Command {
  root.helpCommand(false).addHelpText("after", () => `\nTopics (mutwo help TOPIC):\n${topicList()}`);
  return root
    .command("help [words...]")
    .description("this list, the text of a topic, or the help of a command")
    .action((words: readonly string[]) => {
      const [first = ""] = words;
      if (words.length === 1 && topics().includes(first)) process.stdout.write(topicText(first));
      else commandNamed(root, words).outputHelp();
    });
}

/** The command of these names. Throws `unknown topic or command: … (nearest: …)`. */
function commandNamed(root: Command, words: readonly string[]): Command {
  let found = root;
  for (const word of words) {
    const inner = found.commands.find((one) => one.name() === word);
    if (!inner) {
      const names = [...topics(), ...root.commands.map((one) => one.name())];
      throw new Error(`unknown topic or command: ${words.join(" ")} (nearest: ${nearest(word, names, 3).join(", ")})`);
    }
    found = inner;
  }
  return found;
}
