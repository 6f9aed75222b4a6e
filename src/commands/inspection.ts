import Table from "cli-table3";
import { few, formatBytes, formatCommand, formatCount } from "../format.js";
import { shortClass } from "../graph/origins.js";
import type { InspectedValue, Inspection } from "../run/inspect.js";
import { moduleText } from "../run/modules.js";
import { byReason } from "../run/notes.js";
import { tableText } from "./table.js";

/** The most inputs or outputs that are listed. */
const mostValues = 12;

const valueLine = ({ name, dtype, dims }: InspectedValue): string =>
  `  ${name}  ${dtype}[${dims.map((dim) => dim ?? "?").join(", ")}]`;

function valueLines(title: string, values: readonly InspectedValue[]): string[] {
  const more = values.length - mostValues;
  return [title, ...values.slice(0, mostValues).map(valueLine), ...(more > 0 ? [`  … and ${more} more`] : [])];
}

/** What a model is, in a screen of text: the command to go on with last. */
export function inspectionSummary(found: Inspection): string {
  const { file, producer, opset, nodes, parameters, parameterBytes, notes, command, losses, outputs } = found;
  const by = producer ? `, written by ${producer}` : "";
  const lines = [
    `${file}: ${formatCount(nodes)} nodes, opset ${opset}${by}`,
    ...valueLines("inputs", found.inputs),
    ...valueLines("outputs", outputs),
    ...dimensionLines(found),
  ];
  if (found.modules.length) {
    lines.push(`parameters: ${formatCount(parameters)} (${formatBytes(parameterBytes)})`, modulesText(found));
  }
  lines.push(...untrainedLines(found));
  if (losses.length) lines.push("losses that fit", ...fittingLines(found));
  lines.push(...notes.map((note) => `note: ${note}`));
  if (command) lines.push("to profile it:", `  ${command} --budget 60%`);
  return lines.join("\n");
}

/** The float tensors that are not trained: how many for each reason, and the first names. */
function untrainedLines({ untrained }: Inspection): string[] {
  if (!untrained.length) return [];
  return [
    `float tensors that are not trained: ${formatCount(untrained.length)}`,
    ...byReason(untrained).map(([reason, names]) => `  ${formatCount(names.length)}  ${reason}: ${few(names)}`),
  ];
}

/** Each dimension to bind, with the size that was taken here. */
function dimensionLines({ dims, guessed }: Inspection): string[] {
  const entries = Object.entries(dims);
  if (!entries.length) return ["dimensions to bind: none"];
  return [
    "dimensions to bind",
    ...entries.map(
      ([name, size]) =>
        `  ${formatCommand(["--dim", `${name}=${size}`])}${guessed.includes(name) ? "  (a guess)" : ""}`,
    ),
  ];
}

function modulesText({ modules, parameters }: Inspection): string {
  const rows = modules.map(({ path, class: type, ...of }) => [
    `${moduleText(path)}${type ? ` (${shortClass(type)})` : ""}`,
    formatCount(of.tensors),
    formatCount(of.parameters),
    formatBytes(of.bytes),
    `${((100 * of.parameters) / Math.max(1, parameters)).toFixed(1)} %`,
  ]);
  const table = new Table({
    head: ["module", "tensors", "parameters", "bytes", "share"],
    style: { head: [], border: [], compact: true },
    colAligns: ["left", "right", "right", "right", "right"],
  });
  table.push(...rows);
  return tableText(table);
}

/** For each output the losses that fit it. */
function fittingLines({ losses }: Inspection): string[] {
  const outputs = [...new Set(losses.map(({ output }) => output))];
  return outputs.slice(0, mostValues).map((name) => {
    const own = losses.filter(({ output }) => output === name);
    const fit = own.filter(({ problem }) => problem === null).map(({ loss }) => loss);
    return `  ${name} [${own[0]?.shape.join(", ")}]: ${fit.join("  ") || "none"}`;
  });
}
