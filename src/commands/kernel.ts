import type { Command } from "commander";

/** `mutwo kernel install`: registers the TypeScript kernel with Jupyter. */
export const kernelCommand = (root: Command): Command =>
  root
    .command("kernel")
    .description("the Jupyter kernel")
    .command("install")
    .description("register the TypeScript kernel with Jupyter")
    .option("--data-dir <dir>", "Jupyter's data folder (default: the user's)")
    .action(installNotebookKernel);

export async function installNotebookKernel({ dataDir }: { dataDir?: string }): Promise<void> {
  const { installKernel } = await import("../notebook/install.js");
  process.stdout.write(`kernel: ${installKernel({ dataDir })}\n`);
}
