import path from "node:path";
import type { Command } from "commander";
import { formatCommand, formatCount } from "../format.js";
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

export async function planSweep(spec: string, { out, replace, json }: PlanFlags): Promise<void> {
  const { readSpec } = await import("../sweep/spec.js");
  const { writeManifest } = await import("../sweep/manifest.js");
  const wanted = readSpec(spec);
  const folder = out ?? path.join("reports", path.basename(spec).replace(/\.ya?ml$/, ""));
  const { file, points } = writeManifest(folder, wanted, replace);
  const profiles = new Set(points.map(({ profile }) => profile)).size;
  if (json) printJson({ manifest: file, points: points.length, profiles });
  else
    process.stdout.write(
      `${formatCount(points.length)} points, ${formatCount(profiles)} to measure: ${file}\nto do them here: ${formatCommand(["mutwo", "sweep", file])}\n`,
    );
}
