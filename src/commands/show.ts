import { statSync } from "node:fs";
import path from "node:path";
import { type Command, Option } from "commander";
import { formatBytes } from "../format.js";
import { type Graph, type Node, type Phase, phases, tensorBytes, tensorOf } from "../graph/graph.js";
import type { ProfileModelOptions } from "../run/options.js";
import { batchNormOption, collect, collectDim, count, lossHelp, positive } from "./options.js";

type StepOptions = Pick<
  ProfileModelOptions,
  "accumulate" | "clipNorm" | "freeze" | "precision" | "batchNorm" | "backend"
> & { readonly loss?: string; readonly optimizer?: string };

interface ShowFlags extends StepOptions {
  readonly dim: Record<string, number>;
  readonly lowered?: boolean;
  readonly planned?: boolean;
  readonly phase?: Phase;
  readonly around?: string;
  readonly distance: number;
  readonly json?: boolean;
}

/** A graph, and in words what it is. */
interface Shown {
  readonly graph: Graph;
  readonly what: string;
}

/** `mutwo show`: prints the graph of a model or of a run, whole or in part. */
export const showCommand = (root: Command): Command =>
  root
    .command("show <graph>")
    .description("print a graph as text: a model's (with --loss and --optimizer its training step), or a run's")
    .option("--dim <name=N>", "size of a symbolic dimension (repeat)", collectDim, {})
    .option("--loss <name>", lossHelp)
    .option("--optimizer <name>", "sgd, adam or adamw, with settings: adam:lr=1e-3,betas=0.9/0.999")
    .option("--accumulate <n>", "micro-batches of that size before each update", count(1))
    .option("--clip-norm <x>", "scale gradients down to this norm over all parameters", positive)
    .option("--freeze <pattern>", "leave parameters untrained: 'encoder.*' (repeat)", collect)
    .option("--precision <name>", "mixed: float16 products, float32 parameters (mixed:type=bfloat16,loss_scale=1)")
    .addOption(batchNormOption())
    .option("--lowered", "a model's graph as a backend executes it")
    .option("--backend <name>", "whose kernels --lowered goes by: cpu (default), cuda, or replay:FILE of a recording")
    .option("--planned", "a run's graph with the run's plan carried out")
    .addOption(new Option("--phase <phase>", "only the nodes of one phase").choices([...phases]))
    .option("--around <node>", "only this node, what it is made from and what is made from it (node, tensor or rank)")
    .option("--distance <n>", "how many nodes away from that one", count(0), 2)
    .option("--json", "print the graph as run.json holds it, and nothing else")
    .action(show);

async function show(file: string, flags: ShowFlags): Promise<void> {
  // a pager or `head` may have seen enough
  process.stdout.on("error", ({ code }: NodeJS.ErrnoException) => process.exit(code === "EPIPE" ? 0 : 2));
  process.stdout.write(await listing(file, flags));
}

/** What `mutwo show` prints. Throws one line for options that do not fit the file or a node that is not there. */
export async function listing(file: string, flags: ShowFlags): Promise<string> {
  const isRun = file.endsWith(".json") || (statSync(file, { throwIfNoEntry: false })?.isDirectory() ?? false);
  const { graph, what } = isRun ? await graphOfRun(file, flags) : await graphOfModel(file, flags);
  const { neighbours, nodeNamed, partOf } = await import("../graph/part.js");
  const { phase, around, distance } = flags;
  const centre = around === undefined ? undefined : (graph.nodes[rankOf(around)] ?? nodeNamed(graph, around));
  const near = centre && neighbours(graph, centre, distance);
  const isShown = (node: Node): boolean => (!phase || node.phase === phase) && (!near || near.has(node));
  const shown = phase || near ? partOf(graph, isShown) : graph;
  if (!flags.json) return textOf(graph, shown, what, centre);
  const { saveGraph } = await import("../run/run.js");
  return `${JSON.stringify(saveGraph(shown))}\n`;
}

/** A rank as the listing shows it; -1 for a name. */
const rankOf = (around: string): number => (/^\d+$/.test(around) ? Number(around) : -1);

/** The graph as text: residents, then nodes with rank in the whole schedule, bytes of their outputs, and a mark at `centre`. */
async function textOf(whole: Graph, shown: Graph, what: string, centre: Node | undefined): Promise<string> {
  const { printGraph } = await import("../build/text.js");
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
  return title + printGraph(shown, { types: true, maxElements: 8, margin });
}

/** The step that a run profiled, with its plan if that is asked for. */
async function graphOfRun(file: string, flags: ShowFlags): Promise<Shown> {
  const { loadGraph, readRun } = await import("../run/run.js");
  const found = file.endsWith(".json") ? file : path.join(file, "run.json");
  const run = readRun(found);
  const { distance: _, phase: __, around: ___, planned, json: ____, dim, ...ofModels } = flags;
  const [option] = [...Object.keys(dim).map(() => "dim"), ...Object.keys(ofModels)];
  if (option) {
    const flag = `--${option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    throw new Error(`the graph of a run is as it was profiled, ${flag} is for a model: ${found}`);
  }
  const graph = loadGraph(run.graph);
  const step = `the training step of ${run.model.file} (${run.model.loss}, ${run.model.optimizer})`;
  if (!planned) return { graph, what: step };
  if (!run.plan) throw new Error(`run has no plan: ${found}`);
  const { rewrite } = await import("../plan/rewrite.js");
  const fits = run.plan.feasible ? "" : ", which does not fit its budget";
  return { graph: rewrite(graph, run.plan.decisions), what: `${step}, planned by ${run.plan.planner}${fits}` };
}

/** The forward graph of a model file; with a loss and an optimizer its training step; lowered if that is asked for. */
async function graphOfModel(file: string, flags: ShowFlags): Promise<Shown> {
  const { loss, optimizer, dim, backend, batchNorm, lowered, planned } = flags;
  if (planned) throw new Error(`a model has no plan, show a run: ${file}`);
  if ((loss === undefined) !== (optimizer === undefined))
    throw new Error(`a training step needs --loss and --optimizer: ${loss ?? optimizer}`);
  const { openRuntime } = await import("../runtime/open.js");
  const { readModel } = await import("../model/read.js");
  const { lowerFor } = await import("../step/lower.js");
  const { trainingStep } = await import("../step/training.js");
  const runtime = openRuntime(backend ?? "cpu");
  try {
    const { graph: forward } = readModel(file, { dims: dim, runtime, batchNorm });
    const isStep = loss !== undefined && optimizer !== undefined;
    const graph = isStep ? trainingStep(forward, { ...flags, loss, optimizer }) : forward;
    const name = path.basename(file);
    const what = isStep ? `the training step of ${name} (${loss}, ${optimizer})` : `the forward pass of ${name}`;
    if (!lowered) return { graph, what };
    return { graph: lowerFor(runtime, graph), what: `${what}, as ${runtime.device.name} executes it` };
  } finally {
    runtime.close();
  }
}
