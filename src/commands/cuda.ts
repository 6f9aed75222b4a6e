import { type Command, Option } from "commander";
import { formatCommand } from "../format.js";
import { interruptible } from "./process.js";

interface CudaFlags {
  readonly cuda?: "12" | "13";
  readonly dir?: string;
}

/** `mutwo cuda install`: fetches ONNX Runtime's CUDA provider, and checks the backend. */
export const cudaCommand = (root: Command): Command =>
  root
    .command("cuda")
    .description("the CUDA backend")
    .command("install")
    .description("fetch ONNX Runtime's CUDA provider, and check the backend")
    .addOption(new Option("--cuda <major>", "for CUDA 12 or 13 (default: what the driver runs)").choices(["12", "13"]))
    .option("--dir <dir>", "folder for it (default: in mutwo's cache, where the backend looks)")
    .action(installCudaProvider);

const say = (line: string): void => void process.stderr.write(`${line}\n`);

export async function installCudaProvider(flags: CudaFlags): Promise<void> {
  const { installCuda } = await import("./cuda-install.js");
  const { folder, cudaMajor, library } = await installCuda({
    cudaMajor: flags.cuda && (Number(flags.cuda) as 12 | 13),
    folder: flags.dir,
    onProgress: say,
    signal: interruptible(),
  });
  process.stdout.write(`provider for CUDA ${cudaMajor}: ${folder}\n`);
  const { ORT_LIBRARY: other } = process.env;
  if (flags.dir !== undefined) say(`to use it: ${formatCommand(["export", `ORT_LIBRARY=${library}`])}`);
  else if (other !== undefined) say(`warning: ORT_LIBRARY is used instead: ${other}`);
  process.env.ORT_LIBRARY = library;
  const { checkCuda, cudaAdvice } = await import("./doctor-cuda.js");
  const { lookForCuda } = await import("../runtime/libraries/cuda-libraries.js");
  const advice = cudaAdvice(lookForCuda());
  for (const line of advice) say(`warning: ${line}`);
  try {
    if (!advice.length) process.stdout.write(`cuda backend: ${await checkCuda()}\n`);
  } catch (error) {
    say(`warning: the cuda backend does not work here: ${(error as Error).message.split("\n")[0]}`);
  }
}
