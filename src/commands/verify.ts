import type { Command } from "commander";
import { optionGroups } from "../run/option-kinds.js";
import type { OptionsOf } from "../run/options.js";
import { withOptions } from "./options.js";
import { printJson } from "./process.js";

/** `mutwo verify`: compares a model's training step with reference values; the exit status is 1 if they differ. */
export const verifyCommand = (root: Command): Command => {
  const command = root
    .command("verify <model>")
    .description("compare loss, gradients, running statistics and training curves with reference values");
  return withOptions(command, "verify", verify)
    .optionsGroup(optionGroups.output)
    .option("--json", "print one JSON object on stdout and nothing else");
};

export async function verify(model: string, options: OptionsOf<"verify">, flags: { json?: boolean }): Promise<void> {
  const { verifyModel } = await import("../run/verify.js");
  const result = await verifyModel(model, options);
  if (flags.json) printJson(result);
  else {
    const { verificationSummary } = await import("./summary.js");
    process.stdout.write(`${verificationSummary(result)}\n`);
  }
  if (!result.ok) process.exitCode = 1;
}
