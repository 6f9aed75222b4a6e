import { fit } from "../../src/train/fit.js";
import type { FitOptions } from "../../src/train/fit-options.js";
import type { TrainedTrial, Training } from "../../src/train/training.js";
import { toyData, toyTrainer } from "./toy-trainer.js";

const info = (name: string, count: number): Training["data"] => ({
  path: name,
  name,
  count,
  columns: [
    { name: "x", dtype: "float32", shape: [2] },
    { name: "target", dtype: "float32", shape: [1] },
  ],
  classes: null,
});

/** The record of a training of the toy, with validation. */
export async function toyTraining(options: Partial<FitOptions> = {}, more: Partial<Training> = {}): Promise<Training> {
  const settings = { loss: "mse", optimizer: "sgd:lr=0.05,momentum=0.9" };
  const given: FitOptions = { loss: "mse", epochs: 6, validate: toyData(40), schedule: "cosine:warmup=20", settings };
  const log = await fit(toyTrainer(), toyData(200), { ...given, ...options });
  return {
    format: "mutwo-training",
    version: 1,
    id: "20260101-000000-toy-abcd",
    createdAt: "2026-01-01T00:00:00.000Z",
    command: "mutwo train toy.onnx --data toy.npz --epochs 6 --loss mse --optimizer sgd --out trained.onnx",
    goOn: "mutwo train toy.onnx --data toy.npz --epochs 6 --loss mse --optimizer sgd --resume --out trained.onnx",
    model: { file: "toy.onnx", path: "toy.onnx", sha256: "0".repeat(64) },
    out: "trained.onnx",
    backend: "cpu",
    device: "a toy",
    environment: {
      mutwo: "0",
      node: "v22",
      onnxruntime: "1",
      os: "Linux",
      cpu: "a toy",
      cores: 1,
      memoryBytes: 2 ** 30,
    },
    data: info("toy.npz", 200),
    validation: info("held.npz", 40),
    seed: 0,
    settings,
    step: {
      allocatedBytes: 2 ** 20,
      evaluationBytes: 0,
      unplannedBytes: 2 ** 21,
      plannedBytes: 2 ** 20,
      budgetBytes: 3 * 2 ** 19,
    },
    run: null,
    log,
    ...more,
  };
}

/** The record of a training of three toys in one step: the second one's validation is best, the third one's loss not finite. */
export async function toyTogether(): Promise<Training> {
  const joint = await toyTraining();
  const trial = (name: string, lr: string, { log, settings }: Training): TrainedTrial => ({
    name,
    varied: { lr },
    model: joint.model,
    out: log.end?.reason === "not finite" ? null : `${name}/trained.onnx`,
    seed: Number(name.slice(1)),
    settings,
    log,
  });
  const lost = await fit(toyTrainer({ notFinite: 3 }), toyData(200), { loss: "mse", epochs: 6, validate: toyData(40) });
  const models = [
    trial("m0", "0.01", await toyTraining({ epochs: 2 })),
    trial("m1", "0.05", joint),
    trial("m2", "9", { ...joint, log: lost }),
  ];
  const { log, out } = models[1] as TrainedTrial;
  return { ...joint, model: { ...joint.model, file: "3 × toy.onnx" }, log, out, together: { models, best: "m1" } };
}
