import path from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import { formatBytes, nearest } from "../format.js";
import type { Graph, Node, Phase } from "../graph/graph.js";
import { optionGroups } from "../run/option-kinds.js";
import { type OptionsOf, optionEntries } from "../run/options.js";
import { givenOrNewest } from "./newest.js";
import { withOptions } from "./options.js";

interface ShowFlags {
  readonly lowered?: boolean;
  readonly planned?: boolean;
  readonly phase?: Phase;
  readonly around?: string;
  readonly distance?: number;
  readonly json?: boolean;
}

/** A graph, and in words what it is. */
interface Shown {
  readonly graph: Graph;
  readonly what: string;
}

/** `mutwo show`: prints the graph of a model or of a run, whole or in part. */
export function showCommand(root: Command): Command {
  const command = root
    .command("show [graph] [node]")
    .description(
      "print a graph as text: a model's (with --loss and --optimizer its training step), or a run's (the newest in ./reports if none is named); of a node: its module, class and line of code, and the nodes around it",
    );
  // a node that is named behind the graph is the one to look around
  const near = (flags: ShowFlags): ShowFlags => ({ around: command.args[1], ...flags });
  const action = (given: string | undefined, options: OptionsOf<"show">, flags: ShowFlags): Promise<void> =>
    show(givenOrNewest(given), options, near(flags));
  return withOptions(command, "show", action, checkStep)
    .optionsGroup(optionGroups.output)
    .option("--lowered", "a model's graph as the backend executes it")
    .option("--planned", "a run's graph with the run's plan carried out")
    .addOption(new Option("--phase <phase>", "only the nodes of one phase").choices([...phaseNames]))
    .option("--around <node>", "only this node, what it is made from and what is made from it (node, tensor or rank)")
    .option("--distance <n>", "how many nodes away from that one (default 2)", readDistance)
    .option("--json", "print the graph as run.json holds it, and nothing else");
}

/** Names of the phases, written again: `--help` does without the graph. */
const phaseNames: readonly Phase[] = ["forward", "loss", "backward", "update"];

function readDistance(word: string): number {
  if (!/^\d+$/.test(word)) throw new InvalidArgumentError("use a whole number from 0 on");
  return Number(word);
}

/** Throws if there is a loss or an optimizer without the other. */
function checkStep(_: ShowFlags, { loss, optimizer }: OptionsOf<"show">): void {
  if ((loss === undefined) !== (optimizer === undefined))
    throw new Error(`a training step needs --loss and --optimizer: ${loss ?? optimizer}`);
}

async function show(file: string, options: OptionsOf<"show">, flags: ShowFlags): Promise<void> {
  // a pager or `head` may have seen enough
  process.stdout.write(await listing(file, options, flags));
}

/** What `mutwo show` prints. Throws one line for options that do not fit the file, for a node or a phase that is not there. */
export async function listing(file: string, options: OptionsOf<"show">, flags: ShowFlags): Promise<string> {
  const { runFile, saveGraph } = await import("../run/run.js");
  const { graph, what } = await (runFile(file).endsWith(".json") ? graphOfRun : graphOfModel)(file, options, flags);
  const { neighbours, partOf } = await import("../graph/part.js");
  const { phase, around, distance = 2 } = flags;
  const centre = around === undefined ? undefined : await nodeNamed(graph, around);
  const near = centre && neighbours(graph, centre, distance);
  const isShown = (node: Node): boolean => (!phase || node.phase === phase) && (!near || near.has(node));
  const shown = phase || near ? partOf(graph, isShown) : graph;
  if (phase && shown.nodes.length === 0) {
    const isElsewhere = graph.nodes.some((node) => node.phase === phase);
    if (isElsewhere && centre)
      throw new Error(`no ${phase} node within ${distance} of ${centre.name}, a ${centre.phase} node`);
    const isForward = graph.nodes.every((node) => node.phase === "forward");
    throw new Error(
      `no ${phase} node in ${what}${isForward ? " (with --loss and --optimizer it is a training step)" : ""}`,
    );
  }
  if (!flags.json) return textOf(graph, shown, what, centre);
  return `${JSON.stringify(saveGraph(shown))}\n`;
}

/**
 * The node of that rank or name, or the one that makes the tensor of that name. Throws `unknown node: … (nearest: …)`, or
 * that no node makes the tensor.
 */
async function nodeNamed(graph: Graph, name: string): Promise<Node> {
  const { producers } = await import("../graph/graph.js");
  const rank = /^\d+$/.test(name) ? Number(name) : -1;
  const node =
    graph.nodes[rank] ??
    graph.nodes.find((other) => other.name === name) ??
    graph.nodes[producers(graph).get(name) ?? -1];
  if (node) return node;
  const tensor = graph.tensors.get(name);
  if (tensor) throw new Error(`no node makes the ${tensor.category}: ${name}`);
  const names = graph.nodes.flatMap((other) => [other.name, ...other.outputs.filter(Boolean)]);
  throw new Error(`unknown node: ${name} (nearest: ${nearest(name, names, 3).join(", ")})`);
}

/** The graph as text: residents, then nodes with rank in the whole schedule, bytes of their outputs, and a mark at `centre`. */
async function textOf(whole: Graph, shown: Graph, what: string, centre: Node | undefined): Promise<string> {
  const { printGraph } = await import("../build/text.js");
  const { tensorBytes, tensorOf } = await import("../graph/graph.js");
  const { opOf } = await import("../ops/index.js");
  const ranks = new Map(whole.nodes.map((node, rank) => [node, rank]));
  const bytesOf = (node: Node): string => {
    if (opOf(node).view) return "view";
    const made = node.outputs.filter(Boolean).map((name) => tensorBytes(tensorOf(whole, name)));
    return formatBytes(made.reduce((sum, bytes) => sum + bytes, 0));
  };
  const margin = (node: Node): string =>
    `${String(ranks.get(node)).padStart(6)} ${bytesOf(node).padStart(9)} ${node === centre ? ">" : " "}`;
  const count = shown === whole ? `${whole.nodes.length}` : `${shown.nodes.length} of ${whole.nodes.length}`;
  const title = `# ${what}: ${count} nodes, each with its rank in the schedule and the bytes that it makes\n`;
  const origin = centre ? await originText(whole, centre) : "";
  return title + origin + printGraph(shown, { types: true, maxElements: 8, margin });
}

/** What is known of a node's place in the user's code: module, class, line of Python. */
async function originText(graph: Graph, { name }: Node): Promise<string> {
  const { modulesIn, moduleText } = await import("../run/modules.js");
  const { sourceText } = await import("../graph/origins.js");
  const modules = modulesIn(graph);
  if (!modules.basis) return `# ${name}: the model file names no modules\n`;
  const { module, class: type, source } = modules.ofNode(name);
  const line = source ? `, ${sourceText(source)}${source.code ? `: ${source.code}` : ""}` : "";
  return `# ${name}: module ${moduleText(module)}${type ? ` (${type})` : ""}${line}\n`;
}

/** The step that a run profiled, with its plan if that is asked for. */
async function graphOfRun(file: string, options: OptionsOf<"show">, flags: ShowFlags): Promise<Shown> {
  const { readRun } = await import("../run/read-run.js");
  const { loadGraph, runFile } = await import("../run/run.js");
  const found = runFile(file);
  const run = readRun(found);
  const { lowered, planned } = flags;
  const [foreign] = Object.entries({ ...options, lowered }).filter(([, value]) => value !== undefined);
  if (foreign) {
    const flag = optionEntries.find(([name]) => name === foreign[0])?.[1].flag ?? `--${foreign[0]}`;
    throw new Error(`the graph of a run is as it was profiled, ${flag} is for a model: ${found}`);
  }
  const graph = loadGraph(run.graph);
  const step = `the training step of ${run.model.file} (${run.model.loss}, ${run.model.optimizer})`;
  if (!planned) return { graph, what: step };
  if (!run.plan) throw new Error(`run has no plan: ${found}`);
  const { executedGraph } = await import("../plan/executed.js");
  const fits = run.plan.feasible ? "" : ", which does not fit its budget";
  return { graph: executedGraph(graph, run.plan).graph, what: `${step}, planned by ${run.plan.planner}${fits}` };
}

/** The forward graph of a model file; with a loss and an optimizer its training step; lowered if that is asked for. */
async function graphOfModel(file: string, options: OptionsOf<"show">, flags: ShowFlags): Promise<Shown> {
  const { lowered, planned } = flags;
  const { loss, optimizer, dims, backend, deviceSpec, batchNorm } = options;
  if (planned) throw new Error(`a model has no plan, show a run: ${file}`);
  const { openRuntime } = await import("../runtime/open.js");
  const { readModel } = await import("../model/read.js");
  const { lowerFor } = await import("../step/lower.js");
  const { stepOn } = await import("../step/step.js");
  const { lossOutput, trainingStep } = await import("../step/training.js");
  const runtime = openRuntime(backend ?? "cpu", { deviceSpec });
  try {
    const output = loss === undefined ? undefined : lossOutput(loss);
    const { graph: forward } = readModel(file, { dims, runtime, batchNorm, output });
    const isStep = loss !== undefined && optimizer !== undefined;
    const training = { ...options, loss: loss ?? "", optimizer: optimizer ?? "" };
    const made = lowered
      ? (): Graph => stepOn(runtime, forward, training)
      : (): Graph => trainingStep(forward, training);
    const graph = isStep ? made() : forward;
    const name = path.basename(file);
    const what = isStep ? `the training step of ${name} (${loss}, ${optimizer})` : `the forward pass of ${name}`;
    if (!lowered) return { graph, what };
    return { graph: lowerFor(runtime, graph), what: `${what}, as ${runtime.device.name} executes it` };
  } finally {
    runtime.close();
  }
}
