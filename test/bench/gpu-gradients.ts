import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { worstErrors } from "../../src/run/verification.js";
import { verifyModel } from "../../src/run/verify.js";
import { type Places, since, table } from "./gpu-models.js";

/** What float64.py prints of a model. */
interface Reference {
  readonly loss: string;
  /** PyTorch's float32 against float64: the worst parameter's relative error. */
  readonly worst: number;
  readonly parameter: string;
}

function python<T>({ scripts }: Places, ...args: string[]): T {
  const result = spawnSync("python3", [path.join(scripts, "float64.py"), ...args], {
    encoding: "utf8",
    timeout: 120_000,
    maxBuffer: 1 << 26,
  });
  if (result.status !== 0)
    throw new Error((result.stderr || String(result.error)).trim().split("\n").at(-1)?.slice(0, 200));
  return JSON.parse(result.stdout.trim().split("\n").at(-1) as string) as T;
}

/** The worst gradient of a model's step with kernels of full float32. */
async function worst(folder: string, name: string, { loss }: Reference, deterministic: boolean) {
  const result = await verifyModel(path.join(folder, `${name}.onnx`), {
    reference: path.join(folder, `${name}.safetensors`),
    loss,
    backend: "cuda",
    tf32: false,
    deterministic,
  });
  return { ...worstErrors(result), missing: result.missing.length };
}

/** Gradients against float64 beside PyTorch's own float32 error, TF32 off, for models that are exported on the spot. */
export async function gradients(places: Places, only?: readonly string[]): Promise<string> {
  const names = python<string[]>(places, "list").filter((name) => only?.includes(name) ?? true);
  const rows: string[][] = [];
  for (const name of names) {
    const folder = mkdtempSync(path.join(tmpdir(), "mutwo-gradients-"));
    const began = performance.now();
    try {
      const reference = python<Reference>(places, folder, name);
      const [fast, exact] = [await worst(folder, name, reference, false), await worst(folder, name, reference, true)];
      rows.push([
        name,
        reference.worst.toExponential(1),
        fast.gradient.toExponential(1),
        exact.gradient.toExponential(1),
        (Math.max(fast.gradient, exact.gradient) / reference.worst).toFixed(2),
        fast.loss.toExponential(1),
        String(fast.missing),
        since(began),
      ]);
    } catch (error) {
      rows.push([name, (error as Error).message.split("\n")[0] as string]);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
    process.stderr.write(`${rows.at(-1)?.join(" | ")}\n`);
  }
  return table(
    ["worst gradient against float64", "PyTorch", "mutwo", "deterministic", "ratio", "loss", "missing", "seconds"],
    rows,
  );
}
