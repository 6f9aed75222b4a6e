import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { encodeModel, type ProtoNode, type ProtoTensor, type ProtoValue } from "../../src/model/onnx-proto.js";
import { profileModel } from "../../src/run/pipeline.js";
import { at } from "../at.js";
import { figureOf, type Tell } from "./history.js";

/** The MLP of torch_cpu.py: layers of 1024, 1024 and 1000. */
function mlp(): Uint8Array {
  const initializer: ProtoTensor[] = [];
  const weight = (name: string, dims: number[]): string => {
    const values = Float32Array.from({ length: dims.reduce((a, z) => a * z, 1) }, (_, i) => Math.sin(i) / 32);
    initializer.push({ name, dims, dataType: 1, rawData: new Uint8Array(values.buffer) });
    return name;
  };
  const node = [1024, 1024, 1000].flatMap((size, i): ProtoNode[] => {
    const [x, made] = [i === 0 ? "x" : `x${i}`, i === 2 ? "y" : `h${i}`];
    const product = { opType: "Gemm", input: [x, weight(`w${i}`, [1024, size]), weight(`b${i}`, [size])] };
    const layer = { ...product, output: [made], name: `gemm${i}` };
    return i === 2 ? [layer] : [layer, { opType: "Relu", input: [made], output: [`x${i + 1}`], name: `relu${i}` }];
  });
  const value = (name: string, size: number): ProtoValue => ({
    name,
    type: { tensorType: { elemType: 1, shape: { dim: [{ dimParam: "batch" }, { dimValue: size }] } } },
  });
  const graph = { name: "mlp", node, initializer, input: [value("x", 1024)], output: [value("y", 1000)] };
  return encodeModel({ irVersion: 8, opsetImport: [{ domain: "", version: 18 }], graph });
}

/** What PyTorch takes for the steps of torch_cpu.py, in ms; undefined where no python3 has PyTorch. */
function torchTimes(): Readonly<Record<string, readonly number[]>> | undefined {
  for (const python of ["python3", "/usr/bin/python3"]) {
    const { status, stdout } = spawnSync(python, [at("bench/torch_cpu.py")], { encoding: "utf8", timeout: 300_000 });
    if (status === 0) return JSON.parse(stdout) as Record<string, number[]>;
  }
  return undefined;
}

/** Steps on 2 threads of this CPU beside PyTorch's (Debian: python3-torch), one after the other, twice. */
export async function besideTorch(tell: Tell): Promise<void> {
  const folder = mkdtempSync(path.join(tmpdir(), "mutwo-bench-"));
  const file = path.join(folder, "mlp.onnx");
  writeFileSync(file, mlp());
  const ours: Record<string, number[]> = {};
  const theirs: Record<string, number[]> = {};
  try {
    for (let turn = 0; turn < 2; turn++) {
      for (const [name, model, batch] of [
        ["resnet18 b8", at("fixtures/resnet18.onnx"), 8],
        ["mlp b64", file, 64],
        ["bert_base b1", at("fixtures/full/bert_base.onnx"), 1],
      ] as const) {
        const step = { loss: "ce", optimizer: "sgd:lr=0.01", dims: { batch }, threads: 2 };
        const { before } = await profileModel(model, { ...step, backend: "cpu" });
        ours[name] = [...(ours[name] ?? []), ...before.step.samplesMs];
      }
      for (const [name, times] of Object.entries(torchTimes() ?? {}))
        theirs[name] = [...(theirs[name] ?? []), ...times];
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  for (const [name, times] of Object.entries(ours)) {
    const step = figureOf(times);
    tell(`${name}, 2 threads: step, ms`, step);
    const torch = theirs[name] && figureOf(theirs[name]);
    if (!torch) continue;
    tell(`${name}, 2 threads: PyTorch's step, ms`, torch);
    tell(`${name}, 2 threads: step over PyTorch's`, { ...figureOf([step.median / torch.median]), of: step.of });
  }
}
