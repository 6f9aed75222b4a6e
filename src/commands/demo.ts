import type { Command } from "commander";
import { demoFile } from "../notebook/demo.js";
import { type OutcomeFlags, outcomeOptions } from "./outcome.js";
import { profile } from "./profile.js";

/** `mutwo demo`: profiles, plans and executes a ResNet-18 that ships with mutwo, and says what to try next. */
export const demoCommand = (root: Command): Command =>
  outcomeOptions(
    root
      .command("demo")
      .description("profile, plan and execute a ResNet-18 that ships with mutwo on the CPU; then what to try next"),
  ).action(demo);

async function demo(flags: OutcomeFlags): Promise<void> {
  const options = { loss: "ce", optimizer: "sgd", dims: { batch: 8 }, budget: "80%", backend: "cpu", seed: 0 };
  await profile(demoFile("resnet18.onnx"), options, flags);
  if (!flags.json) process.stdout.write(`\n${nextSteps.join("\n")}\n`);
}

/** Three commands to try next, on the user's own file. */
export const nextSteps: readonly string[] = [
  "Next, with a model of your own (how to export it: mutwo help model):",
  "  mutwo inspect MODEL.onnx",
  "  mutwo profile MODEL.onnx --loss ce --optimizer adam --dim batch=8 --budget 60%",
  "  mutwo plan --sweep",
];
