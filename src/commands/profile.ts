import type { Command } from "commander";
import type { ProfileModelOptions } from "../run/options.js";
import { batchNormOption, collect, collectDim, count, lossHelp, positive } from "./options.js";
import { finish, type OutcomeFlags, outcomeOptions } from "./outcome.js";
import { interruptible } from "./process.js";

interface ProfileFlags extends OutcomeFlags, Omit<ProfileModelOptions, "dims"> {
  readonly dim: Record<string, number>;
}

/** `mutwo profile`: profiles a model's training step; with a budget, plans it and executes the plan. */
export const profileCommand = (root: Command): Command =>
  outcomeOptions(
    root
      .command("profile <model>")
      .description("profile a model's training step; with --budget, plan and execute the plan")
      .requiredOption("--loss <name>", lossHelp)
      .requiredOption("--optimizer <name>", "sgd, adam or adamw, with settings: adam:lr=1e-3,betas=0.9/0.999")
      .option("--dim <name=N>", "size of a symbolic dimension (repeat)", collectDim, {})
      .option("--accumulate <n>", "micro-batches of that size before each update", count(1))
      .option("--clip-norm <x>", "scale gradients down to this norm over all parameters", positive)
      .option("--freeze <pattern>", "leave parameters untrained: 'encoder.*' (repeat)", collect)
      .option("--precision <name>", "mixed: float16 products, float32 parameters (mixed:type=bfloat16,loss_scale=1)")
      .addOption(batchNormOption())
      .option("--backend <name>", "cpu, cuda, or replay:FILE of a recording", "cpu")
      .option("--record <file>", "write what is measured to a file that --backend replay:FILE reads")
      .option("--device <n>", "which GPU (default 0)", count(0))
      .option("--no-tf32", "products and convolutions in full float32 on a GPU")
      .option("--deterministic", "only kernels that give the same bits each time")
      .option("--check-finite", "name the first node that makes a NaN or an infinity, if the loss is not finite")
      .option("--budget <size>", "4GiB, 500MB, or 60% of the baseline's peak")
      .option("--planner <name>", "mutwo, keepAll, recomputeAll or swapAll")
      .option("--iterations <n>", "measured steps of each kind (default 5)", count(1))
      .option("--warmups <n>", "steps before them (default 2)", count(0))
      .option("--threads <n>", "threads of the CPU kernels (default: all cores)", count(1))
      .option("--seed <n>", "seed of initial values and data", count(0), 0),
  ).action(profile);

export async function profile(model: string, flags: ProfileFlags): Promise<void> {
  const { profileModel } = await import("../run/pipeline.js");
  const { checkWritable } = await import("../run/folder.js");
  const { progressBar } = await import("./progress.js");
  checkWritable(flags.out);
  const bar = progressBar(process.stderr);
  const signal = interruptible();
  const { dim, out: _, json: __, pictures: ___, ...given } = flags;
  try {
    const run = await profileModel(model, {
      ...given,
      dims: dim,
      tf32: given.tf32 ? undefined : false,
      signal,
      onProgress: bar.update,
    });
    bar.update("write report", 0, 1);
    // nothing to wait for from here on: leaving removes the unfinished folder and the browser
    signal.addEventListener("abort", () => {
      process.stderr.write("mutwo: interrupted\n");
      process.exit(130);
    });
    await finish(run, flags);
  } finally {
    bar.stop();
  }
}
