import { randomBytes } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import path from "node:path";
import { readText } from "../files.js";
import type { Category, DType, Graph, Node, Tensor } from "../graph/graph.js";
import type { Plan } from "../plan/plan.js";
import type { ModelOptions } from "./options.js";
import type { Profile } from "./profile.js";
import type { Samples } from "./samples.js";
import type { TradeoffPoint } from "./tradeoff.js";

/**
 * Version of run.json; a file of another version is refused. What can be read without doubt needs no new version:
 * warnings were plain sentences once, and `readRun` says what those are about.
 */
export const runFormatVersion = 1;

const subjects = ["unplanned", "planned", "run"] as const;

/** What went wrong without losing the run (a NaN loss, a page that could not be printed). */
export interface Warning {
  /** Which step, or the run as a whole: another plan leaves behind what is said of the planned step. */
  readonly about: (typeof subjects)[number];
  /** What somebody decides by: that a run was replayed says more of one whose planned step was; what was estimated. */
  readonly kind?: "replayed" | "estimated";
  /** One sentence without a full stop. */
  readonly text: string;
}

/** A tensor as run.json holds it: large values are left out. */
export interface SavedTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly category: Category;
  readonly within?: { readonly tensor: string; readonly offsetBytes: number };
  readonly host?: true;
  /** Elements of a small constant. */
  readonly dataBase64?: string;
}

/** A graph without the values of its tensors: what planning needs. */
export interface SavedGraph {
  readonly name: string;
  readonly nodes: readonly Node[];
  readonly tensors: readonly SavedTensor[];
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly state: Graph["state"];
  readonly loss?: string;
  /** Absent from runs of versions that did not read them, and where the model file tells nothing. */
  readonly origins?: Graph["origins"];
}

/** What a run says of its model: the file, and the options that decided what its training step is. */
export interface ModelInfo extends ModelOptions {
  /** File name without folder. */
  readonly file: string;
  /** Path as given. */
  readonly path: string;
  readonly sha256: string;
  readonly opset: number;
  readonly producer: string;
  readonly dims: Readonly<Record<string, number>>;
  readonly parameters: number;
  readonly parameterBytes: number;
  /** Things the reader noticed and a user should know. */
  readonly notes: readonly string[];
}

/** The machine and the versions with which a run was made. */
export interface Environment {
  readonly mutwo: string;
  readonly node: string;
  readonly onnxruntime: string;
  readonly os: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
}

/** Both steps, run in turn on the same machine at the same time: what a comparison of their times goes by. */
export interface PairedTimes {
  readonly unplanned: Samples;
  readonly planned: Samples;
}

/** Whether the planned step computed the same as the unplanned one. */
export interface Equality {
  /** Tensors compared: the loss, every gradient, every updated state. */
  readonly compared: number;
  /** Names of those that differ: in any bit, or on a GPU with kernels that are not deterministic by more than those do. */
  readonly different: readonly string[];
  /** Whether all of them are equal in every bit. */
  readonly bitwise: boolean;
  /** Greatest relative difference of one tensor, ‖planned − unplanned‖ / ‖unplanned‖. */
  readonly worstRelativeError: number;
  /** The same between two runs of the unplanned step; null where kernels are deterministic. */
  readonly runToRun: number | null;
}

/** One profiled training step, with its plan if there is one: the whole content of run.json. */
export interface Run {
  readonly format: "mutwo-run";
  readonly version: typeof runFormatVersion;
  readonly id: string;
  /** ISO 8601, UTC. */
  readonly createdAt: string;
  /** The command that makes this run again. */
  readonly command: string;
  readonly model: ModelInfo;
  readonly environment: Environment;
  readonly seed: number;
  readonly graph: SavedGraph;
  readonly before: Profile;
  readonly plan: Plan | null;
  /** The planned step, executed; null without a (feasible) plan or if it was not executed. */
  readonly after: Profile | null;
  readonly equality: Equality | null;
  /** null without a planned step that was executed. */
  readonly paired: PairedTimes | null;
  /** Plans of every planner over the range of budgets; absent where none was asked for. */
  readonly tradeoff?: readonly TradeoffPoint[];
  readonly warnings: readonly Warning[];
}

/** The graph as run.json holds it. */
export function saveGraph(graph: Graph): SavedGraph {
  return {
    name: graph.name,
    nodes: graph.nodes,
    tensors: [...graph.tensors.values()].map(({ data, ...tensor }) =>
      // small constants decide shapes (axes, pads), so they are kept
      data && tensor.category === "constant" && data.length <= 1024
        ? { ...tensor, dataBase64: Buffer.from(data).toString("base64") }
        : tensor,
    ),
    inputs: graph.inputs,
    outputs: graph.outputs,
    state: graph.state,
    loss: graph.loss,
    ...(graph.origins && { origins: graph.origins }),
  };
}

/** The graph of a run, without the values of its large tensors: enough to plan, not to execute. */
export function loadGraph(saved: SavedGraph): Graph {
  const tensors = new Map(
    saved.tensors.map(({ dataBase64, ...tensor }): [string, Tensor] => [
      tensor.name,
      dataBase64 === undefined ? tensor : { ...tensor, data: new Uint8Array(Buffer.from(dataBase64, "base64")) },
    ]),
  );
  return { ...saved, tensors };
}

/** The run.json that a path names: the file itself, or the one in a run's folder. */
export const runFile = (place: string): string =>
  existsSync(place) && statSync(place).isDirectory() ? path.join(place, "run.json") : place;

/**
 * Reads and checks a run.json, or the one in a run's folder. Throws one line that says what is wrong: no such file, not
 * JSON (truncated), not a mutwo run, another format version, or parts that are missing or do not fit each other.
 */
export function readRun(place: string): Run {
  const file = runFile(place);
  const text = readText("run", file);
  let run: Run;
  try {
    run = JSON.parse(text) as Run;
  } catch (error) {
    throw new Error(`run is not JSON or is truncated: ${file}`, { cause: error });
  }
  if (run?.format !== "mutwo-run") throw new Error(`not a mutwo run: ${file}`);
  if (run.version !== runFormatVersion)
    throw new Error(`run has format version ${run.version}, this mutwo reads ${runFormatVersion}: ${file}`);
  const problem = firstOf(checks, (check) => check(run));
  if (problem) throw new Error(`run contradicts itself: ${problem} (${file})`);
  return {
    ...run,
    warnings: run.warnings.map((warning: Warning | string) => withKind(asWarning(warning))),
  };
}

/** A warning of a run.json from before warnings had kinds. */
const withKind = (warning: Warning): Warning =>
  /^replayed from a recording/.test(warning.text) ? { ...warning, kind: "replayed" } : warning;

/** A warning of a run.json that may hold plain sentences. */
function asWarning(text: Warning | string): Warning {
  if (typeof text !== "string") return text;
  if (/^replayed /.test(text)) return { about: "run", text };
  if (/\bplanned step\b/.test(text)) return { about: "planned", text };
  return { about: /\bunplanned step\b/.test(text) ? "unplanned" : "run", text };
}

const isRecord = (value: unknown): boolean => typeof value === "object" && value !== null && !Array.isArray(value);

const isShape = (sizes: unknown): boolean =>
  Array.isArray(sizes) && sizes.every((size) => Number.isSafeInteger(size) && size >= 0);

const areRecords = (list: unknown): boolean => Array.isArray(list) && list.every(isRecord);

/** Whether what is read of a profile is there. */
const isProfile = (profile: Profile | null): boolean =>
  isRecord(profile) &&
  isRecord(profile?.device) &&
  isRecord(profile?.step) &&
  areRecords(profile?.nodes) &&
  areRecords(profile?.activations) &&
  areRecords(profile?.peakHolders) &&
  Array.isArray(profile?.losses);

const isPlan = (plan: Plan | null): boolean => isRecord(plan) && areRecords(plan?.decisions);

/** What is wrong with a profile's timeline; false if nothing is. */
function wrongTimeline({ nodes, timeline }: Profile): string | false {
  if (!isRecord(timeline) || !isRecord(timeline.byCategory) || !Array.isArray(timeline.totalBytes))
    return "no timeline";
  const { totalBytes, peakBytes } = timeline;
  if (totalBytes.length !== nodes.length) return `timeline of ${totalBytes.length} nodes for ${nodes.length}`;
  const peak = Math.max(...totalBytes);
  return peak !== peakBytes && `peak ${peakBytes}, timeline's greatest value ${peak}`;
}

/** What is wrong with a warning, or a plain sentence; false if nothing is. */
const wrongWarning = (warning: Warning | string, index: number): string | false =>
  typeof warning !== "string" &&
  !(typeof warning?.text === "string" && subjects.includes(warning.about)) &&
  `warning ${index + 1} does not say what about`;

/** The first answer that is not empty; undefined if all are. */
function firstOf<T>(
  list: readonly T[],
  ask: (one: T, index: number) => string | false | undefined,
): string | undefined {
  for (const [index, one] of list.entries()) {
    const answer = ask(one, index);
    if (answer) return answer;
  }
  return undefined;
}

/** What can be missing from a run, or not fit the rest of it; each check may rely on those before it. */
const checks: readonly ((run: Run) => string | false | undefined)[] = [
  ({ graph }) => !(areRecords(graph?.nodes) && areRecords(graph.tensors)) && "no graph",
  ({ graph }) =>
    firstOf(
      graph.nodes,
      ({ name, inputs, outputs }) => !(Array.isArray(inputs) && Array.isArray(outputs)) && `node ${name} has no ends`,
    ),
  ({ model }) => !(typeof model?.file === "string" && Array.isArray(model.notes)) && "no model",
  ({ environment }) => !isRecord(environment) && "no environment",
  ({ before }) => !isProfile(before) && "no profile",
  ({ graph, before }) =>
    before.nodes.length !== graph.nodes.length && `${before.nodes.length} node rows for ${graph.nodes.length} nodes`,
  ({ graph, before }) =>
    firstOf(
      before.nodes,
      (row, i) => (row.name !== graph.nodes[i]?.name || row.rank !== i) && `node row ${row.rank} is ${row.name}`,
    ),
  ({ graph, before }) => {
    const names = new Set(graph.tensors.map((tensor) => tensor.name));
    const nodes = new Map(graph.nodes.map((node) => [node.name, node]));
    const isMade = ({ name, producer }: { name: string; producer: string }): boolean =>
      names.has(name) && (nodes.get(producer)?.outputs.includes(name) ?? false);
    return firstOf(
      before.activations,
      (row) => !isMade(row) && `activation ${row.name} is not made by ${row.producer}`,
    );
  },
  ({ before }) => firstOf(before.nodes, ({ name, time }) => !(time?.medianMs >= 0) && `node ${name} has no time`),
  ({ before }) => wrongTimeline(before),
  ({ before }) => !(before.arenaBytes >= before.timeline.peakBytes) && `arena of ${before.arenaBytes} below its peak`,
  ({ graph }) => firstOf(graph.tensors, ({ name, shape }) => !isShape(shape) && `tensor ${name} has no shape`),
  ({ plan }) => plan !== null && !isPlan(plan) && "no decisions in the plan",
  ({ plan, before }) => {
    const names = new Set(before.activations.map(({ name }) => name));
    const strange = plan?.decisions.find(({ activation }) => !names.has(activation));
    return strange && `decision on ${strange.activation}, which is no saved activation`;
  },
  ({ after }) => after !== null && !isProfile(after) && "no profile of the planned step",
  ({ after }) => after !== null && wrongTimeline(after),
  ({ tradeoff }) =>
    tradeoff !== undefined && !(areRecords(tradeoff) && tradeoff.length) && "no points in the trade-off",
  ({ warnings }) => !Array.isArray(warnings) && "no list of warnings",
  ({ warnings }) => firstOf(warnings, wrongWarning),
];

/** A new run's name: UTC date and time, model, and four random letters so that two runs in one second differ. */
export function newRunId(model: string, now = new Date()): string {
  const stamp = now.toISOString().replace(/[-:]/g, "").replace("T", "-").slice(0, 15);
  const stem = path
    .basename(model)
    .replace(/\.onnx$/, "")
    .replace(/[^\w.-]+/g, "_");
  return `${stamp}-${stem}-${randomBytes(2).toString("hex")}`;
}
