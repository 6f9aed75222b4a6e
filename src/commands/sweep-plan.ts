import path from "node:path";
import type { Command } from "commander";
import { formatCommand, formatCount } from "../format.js";
import type { Manifest } from "../sweep/manifest.js";
import { printJson } from "./process.js";

interface PlanFlags {
  readonly out?: string;
  readonly replace?: boolean;
  readonly json?: boolean;
}

/** `mutwo sweep plan`: makes the manifest of a spec. */
export const sweepPlanCommand = (sweep: Command): Command =>
  sweep
    .command("plan <spec>")
    .description("write the manifest of the points that a YAML file asks for: a grid, a list, random ones, constraints")
    .option("--out <dir>", "folder of the sweep, for the manifest and all results (default: reports/NAME of the spec)")
    .option("--replace", "take the place of a manifest with other points; results stay")
    .option("--json", "print one JSON object on stdout and nothing else")
    .action(planSweep);

/** Writes the manifest of a spec. */
export async function specManifest(
  spec: string,
  { out, replace }: Pick<PlanFlags, "out" | "replace">,
): Promise<Manifest> {
  const { readSpec } = await import("../sweep/spec.js");
  const { writeManifest } = await import("../sweep/manifest.js");
  const folder = out ?? path.join("reports", path.basename(spec).replace(/\.ya?ml$/, ""));
  return writeManifest(folder, readSpec(spec), replace);
}

export async function planSweep(spec: string, { json, ...flags }: PlanFlags): Promise<void> {
  const { file, points } = await specManifest(spec, flags);
  const profiles = new Set(points.map(({ profile }) => profile)).size;
  if (json) printJson({ manifest: file, points: points.length, profiles });
  else
    process.stdout.write(
      `${formatCount(points.length)} points, ${formatCount(profiles)} to measure: ${file}\nto do them here: ${formatCommand(["mutwo", "sweep", file])}\n`,
    );
}
