import type { Command } from "commander";

/** What stands at the end of a command's help: command lines to copy, and topics to read on. */
export interface Examples {
  readonly lines: readonly [string, string, ...string[]];
  readonly topics: readonly string[];
}

/** The examples of each command that does something, by its name. */
export const examples: Readonly<Record<string, Examples>> = {
  demo: {
    lines: ["mutwo demo", "mutwo demo --out /tmp/reports"],
    topics: ["numbers", "budgets"],
  },
  inspect: {
    lines: ["mutwo inspect MODEL.onnx", "mutwo inspect MODEL.onnx --dim batch=32 --json"],
    topics: ["losses", "modules"],
  },
  profile: {
    lines: [
      "mutwo profile MODEL.onnx --loss ce --optimizer adam --dim batch=32 --budget 60%",
      "mutwo profile MODEL.onnx --loss ce --optimizer sgd:lr=1e-2 --backend estimate --device-spec h100 --budget 4GiB",
      "mutwo profile MODEL.onnx --loss ce --optimizer adam --dim batch=4 --copies 8 --vary lr=1e-4,3e-4,1e-3",
    ],
    topics: ["losses", "optimizers", "budgets", "planners", "together", "recordings", "numbers"],
  },
  train: {
    lines: [
      "mutwo train MODEL.onnx --data TRAIN.npz --validate TEST.npz --epochs 5 --loss ce --optimizer adamw:lr=3e-4 --dim batch=32 --schedule cosine:warmup=100 --budget 60% --out TRAINED.onnx",
      "mutwo train MODEL.onnx --data TRAIN.npz --epochs 5 --loss ce --optimizer adam --dim batch=32 --out TRAINED.onnx --resume",
    ],
    topics: ["train", "data", "losses", "optimizers", "budgets"],
  },
  plan: {
    lines: ["mutwo plan --budget 60%", "mutwo plan reports/RUN --sweep"],
    topics: ["budgets", "planners"],
  },
  advise: {
    lines: ["mutwo advise", "mutwo advise reports/RUN --count 5"],
    topics: ["budgets", "planners", "numbers"],
  },
  report: {
    lines: ["mutwo report", "mutwo report reports/RUN --pdf"],
    topics: ["numbers", "modules"],
  },
  compare: {
    lines: ["mutwo compare", "mutwo compare reports/BASE reports/RUN --assert 'stepMs < 1.05 * base'"],
    topics: ["numbers"],
  },
  sweep: {
    lines: [
      "mutwo sweep MODEL.onnx --loss ce --optimizer adam --dim batch=4,8,16 --budget 60%,80%",
      "mutwo sweep reports/SWEEP/manifest.jsonl --jobs 2 --limit 600",
    ],
    topics: ["sweeps", "slurm", "bullmq", "ray", "kubernetes", "losses", "optimizers", "budgets", "planners"],
  },
  "sweep plan": {
    lines: ["mutwo sweep plan SPEC.yaml", "mutwo sweep plan SPEC.yaml --out reports/SWEEP --replace"],
    topics: ["sweeps"],
  },
  "sweep run": {
    lines: [
      "mutwo sweep run reports/SWEEP/manifest.jsonl --index 7",
      "mutwo sweep run reports/SWEEP/manifest.jsonl --index 0-9,12 --retries 0",
    ],
    topics: ["sweeps"],
  },
  "sweep status": {
    lines: ["mutwo sweep status reports/SWEEP", "mutwo sweep status reports/SWEEP --json"],
    topics: ["sweeps"],
  },
  "sweep report": {
    lines: ["mutwo sweep report reports/SWEEP", "mutwo sweep report reports/SWEEP --json"],
    topics: ["sweeps"],
  },
  "sweep worker": {
    lines: ["mutwo sweep worker --jobs 2", "mutwo sweep worker --engine bullmq --engine-option url=redis://HOST:6379"],
    topics: ["bullmq", "sweeps"],
  },
  show: {
    lines: ["mutwo show MODEL.onnx --loss ce --optimizer sgd --phase backward", "mutwo show reports/RUN --planned"],
    topics: ["losses", "optimizers", "modules"],
  },
  trace: {
    lines: ["mutwo trace", "mutwo trace reports/RUN --format memory-viz --step planned"],
    topics: ["numbers"],
  },
  verify: {
    lines: [
      "mutwo verify MODEL.onnx --reference VALUES.safetensors --loss ce",
      "mutwo verify MODEL.onnx --reference VALUES.safetensors --loss mse --dim batch=4 --json",
    ],
    topics: ["losses", "numbers"],
  },
  export: {
    lines: ["mutwo export --out STEP.onnx", "mutwo export reports/RUN --out STEP.onnx --unplanned --feed-state"],
    topics: ["export"],
  },
  "notebook run": {
    lines: [
      "mutwo notebook run notebooks/01-profile.ipynb --out /tmp/out.ipynb",
      "mutwo notebook run NOTEBOOK.ipynb -p batch=8 --report",
    ],
    topics: [],
  },
  "kernel install": {
    lines: ["mutwo kernel install", "mutwo kernel install --data-dir ~/.local/share/jupyter"],
    topics: [],
  },
  "cuda install": {
    lines: ["mutwo cuda install", "mutwo cuda install --cuda 12 --dir /opt/onnxruntime-cuda"],
    topics: ["cuda"],
  },
  doctor: {
    lines: ["mutwo doctor", "mutwo doctor --json"],
    topics: ["cuda"],
  },
  completion: {
    lines: ["mutwo completion bash >> ~/.bashrc", "mutwo completion zsh > ~/.zfunc/_mutwo"],
    topics: [],
  },
  help: {
    lines: ["mutwo help losses", "mutwo help profile"],
    topics: [],
  },
};

/** Ends the help of every command that does something with its examples; `words` are its names behind `mutwo`. */
export function addExamples(command: Command, words = ""): void {
  for (const inner of command.commands) addExamples(inner, `${words} ${inner.name()}`.trim());
  const found = examples[words];
  if (!found) return;
  const more = found.topics.length ? `\nMore: mutwo help ${found.topics.join(" | ")}` : "";
  command.addHelpText("after", `\nExamples:\n${found.lines.map((line) => `  ${line}`).join("\n")}${more}`);
}
