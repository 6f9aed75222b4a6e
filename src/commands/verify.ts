import type { Command } from "commander";
import type { VerifyOptions } from "../run/verify.js";
import { batchNormOption, collectDim, count, lossHelp } from "./options.js";
import { printJson } from "./process.js";

interface VerifyFlags extends Omit<VerifyOptions, "dims"> {
  readonly dim: Record<string, number>;
  readonly json?: boolean;
}

/** `mutwo verify`: compares a model's training step with reference values; the exit status is 1 if they differ. */
export const verifyCommand = (root: Command): Command =>
  root
    .command("verify <model>")
    .description("compare loss, gradients, running statistics and training curves with reference values")
    .requiredOption("--reference <file>", "safetensors file with the reference values")
    .requiredOption("--loss <name>", lossHelp)
    .option("--dim <name=N>", "size of a symbolic dimension (repeat)", collectDim, {})
    .addOption(batchNormOption())
    .option("--backend <name>", "cpu or cuda", "cpu")
    .option("--device <n>", "which GPU (default 0)", count(0))
    .option("--no-tf32", "products and convolutions in full float32 on a GPU")
    .option("--deterministic", "only kernels that give the same bits each time")
    .option("--json", "print one JSON object on stdout and nothing else")
    .action(verify);

export async function verify(model: string, { dim, json, ...given }: VerifyFlags): Promise<void> {
  const { verifyModel } = await import("../run/verify.js");
  const result = await verifyModel(model, { ...given, dims: dim, tf32: given.tf32 ? undefined : false });
  if (json) printJson(result);
  else {
    const { verificationSummary } = await import("./summary.js");
    process.stdout.write(`${verificationSummary(result)}\n`);
  }
  if (!result.ok) process.exitCode = 1;
}
