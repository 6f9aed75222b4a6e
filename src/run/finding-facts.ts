import type { Graph, Phase } from "../graph/graph.js";
import { peakHolders, timeline } from "../memory/liveness.js";
import { opOf } from "../ops/index.js";
import { executedGraph } from "../plan/executed.js";
import type { Plan } from "../plan/plan.js";
import { type DeviceSpec, specOfDevice } from "../runtime/device-spec.js";
import { workOf } from "../runtime/estimate-time.js";
import { batchOf } from "./batch.js";
import { leastPlan } from "./least.js";
import { type StepBytes, stepBytes } from "./lever-bytes.js";
import { type Lever, levers } from "./levers.js";
import { modulesOf, moduleText } from "./modules.js";
import type { NodeRow } from "./node-rows.js";
import { commandOf } from "./option-forms.js";
import { type OptionsOf, optionTable } from "./options.js";
import { flagsOf, ownOptions } from "./own-options.js";
import { type PeakPart, partsOfHolders, peakParts } from "./peak-parts.js";
import { planOptions } from "./plan-options.js";
import { loadGraph, type Run } from "./run.js";

/** Options that differ from a run's own. */
export type Changed = Partial<OptionsOf<"profile">>;

/** The options that are of a plan. */
export const planNames = Object.keys(planOptions).filter((name) => name in optionTable) as (keyof Changed)[];

/** A command, the options that it stands for, and by which flags they differ from the run's own. */
export interface Tried {
  readonly command?: string;
  readonly flags?: string;
  readonly options?: OptionsOf<"profile">;
}

/** The peak that holds now: of the planned step, of an infeasible plan the least reachable one, else the unplanned step's. */
export interface PeakNow {
  readonly which: "unplanned" | "planned" | "least reachable";
  /** Arena, bytes. */
  readonly bytes: number;
  /** The same by the timeline, without the layout's waste. */
  readonly timelineBytes: number;
  readonly node: { readonly name: string; readonly phase: Phase } | undefined;
  /** Who lives there, largest first, flat buffers divided into their parameters. */
  readonly parts: readonly PeakPart[];
  /** The greatest sum of live bytes at nodes of other phases than the update; 0 if there are none. */
  readonly besideUpdateBytes: number;
}

/** A node's speed beside what its device can do, or the same op's best in the run. */
export interface Speed {
  readonly row: NodeRow;
  /** Least time that its operations and bytes take, ms. */
  readonly leastMs: number;
}

/** What the rules of findings look at; what takes time is made when it is first asked for. */
export class Facts {
  readonly run: Run;
  /** Whether the step is a GPU's, measured or not. */
  readonly isGpu: boolean;
  /** Whether times were measured, here or when they were recorded. */
  readonly isTimed: boolean;
  readonly batchDim: string | undefined;
  private readonly made = new Map<string, unknown>();

  constructor(run: Run) {
    this.run = run;
    this.isGpu = run.before.memory !== null || ["cuda", "replay", "estimate"].includes(run.before.backend);
    this.isTimed = !run.before.estimated;
    this.batchDim = batchOf({ dims: run.model.dims ?? {} });
  }

  private once<T>(name: string, make: () => T): T {
    if (!this.made.has(name)) this.made.set(name, make());
    return this.made.get(name) as T;
  }

  get graph(): Graph {
    return this.once("graph", () => loadGraph(this.run.graph));
  }

  /** The unplanned step's memory. */
  get bytes(): StepBytes {
    return this.once("bytes", () => stepBytes(this.graph));
  }

  get plan(): Plan | null {
    return this.run.plan;
  }

  get peak(): PeakNow {
    return this.once("peak", () => peakNow(this.run, this.graph));
  }

  /** What would lower the peak, without plans of an unplanned step. */
  get levers(): readonly Lever[] {
    return this.once("levers", () => levers(this.run, { without: this.plan ? [] : ["plan"] }));
  }

  lever(kind: Lever["kind"]): Lever | undefined {
    return this.levers.find((one) => one.kind === kind);
  }

  /** The lever of that kind that gives most. */
  bestLever(kinds: readonly Lever["kind"][]): Lever | undefined {
    return this.levers.find((one) => kinds.includes(one.kind) && one.gainBytes !== null);
  }

  /** A part of all nodes' time; 0 where they take none. */
  shareOf(ms: number): number {
    const all = this.once("ms", () => this.run.before.nodes.reduce((sum, { time }) => sum + time.medianMs, 0));
    return all > 0 ? ms / all : 0;
  }

  /** The device's data sheet, where it is known. */
  get spec(): DeviceSpec | undefined {
    return this.isGpu ? specOfDevice(this.run.before.device.name) : undefined;
  }

  /** Nodes with the least time that their work takes: by the device's data sheet, else at the same op's best rate in the run. */
  get speeds(): readonly Speed[] {
    return this.once("speeds", () => speedsOf(this));
  }

  /** The path of a node's module, for a finding. */
  moduleOf(node: string): string {
    return modulesOf(this.run).ofNode(node).module;
  }

  /** The path of a tensor's module. */
  moduleOfTensor(name: string): string {
    return modulesOf(this.run).ofTensor(name);
  }

  /** A name with its module, where the model file tells modules. */
  named(name: string, module: string): string {
    return modulesOf(this.run).basis ? `${name} in ${moduleText(module)}` : name;
  }

  nodeText(name: string): string {
    return this.named(name, this.moduleOf(name));
  }

  /** The options that make the run again with others; undefined where its own are not known. */
  private options(changed: Changed, without: readonly (keyof Changed)[]): OptionsOf<"profile"> | undefined {
    if (this.run.before.backend === "tables") return undefined;
    const own = Object.entries(ownOptions(this.run)).filter(([name]) => !without.includes(name as keyof Changed));
    return { ...Object.fromEntries(own), ...changed } as OptionsOf<"profile">;
  }

  /** The command that makes the run again with other options, and without some of its own. */
  command(changed: Changed, without: readonly (keyof Changed)[] = []): string | undefined {
    const options = this.options(changed, without);
    return options && commandOf("profile", this.run.model.path, options);
  }

  /** That command with what `advise` tries it by; empty where the run's own options are not known. */
  tries(changed: Changed, without: readonly (keyof Changed)[] = []): Tried {
    const options = this.options(changed, without);
    if (!options) return {};
    const own = ownOptions(this.run);
    const dropped = without.filter((name) => own[name] !== undefined && changed[name] === undefined);
    const flags = [
      ...(Object.keys(changed).length ? [flagsOf(changed)] : []),
      ...dropped.map((name) => `without ${optionTable[name].flag}`),
    ];
    return { command: commandOf("profile", this.run.model.path, options), flags: flags.join(", "), options };
  }

  /** The same without any plan. */
  unplanned(): Tried {
    const tried = this.tries({}, planNames);
    return tried.command === undefined ? {} : { ...tried, flags: "without a plan" };
  }
}

function peakNow(run: Run, graph: Graph): PeakNow {
  const { before, plan } = run;
  const least = plan && leastPlan(run, plan);
  const step = least ? executedGraph(graph, least).graph : graph;
  const memory = least ? timeline(step) : before.timeline;
  const node = step.nodes[memory.peakRank];
  let besideUpdateBytes = 0;
  step.nodes.forEach(({ phase }, rank) => {
    if (phase !== "update") besideUpdateBytes = Math.max(besideUpdateBytes, memory.totalBytes[rank] ?? 0);
  });
  return {
    which: plan ? (plan.feasible ? "planned" : "least reachable") : "unplanned",
    bytes: plan ? (plan.feasible ? plan.peakBytes : plan.minimumPeakBytes) : before.arenaBytes,
    timelineBytes: memory.peakBytes,
    node: node && { name: node.name, phase: node.phase },
    parts: least ? partsOfHolders(run, peakHolders(step, memory.peakRank)) : peakParts(run),
    besideUpdateBytes,
  };
}

function speedsOf({ graph, run, spec }: Facts): readonly Speed[] {
  const { nodes, device } = run.before;
  const isTf32 = device.settings?.TF32 !== "off";
  const works = graph.nodes.flatMap((node, rank) => {
    const row = nodes[rank];
    const work = opOf(node).view ? undefined : workOf(node, graph, isTf32);
    return row && work && row.time.medianMs > 0 && (work.flops > 0 || work.bytes > 0) ? [{ row, work }] : [];
  });
  if (spec)
    return works.map(({ row, work: { flops, peak, bytes } }) => ({
      row,
      leastMs: Math.max(flops / (spec[peak] * 1e9), bytes / (spec.memoryGBs * 1e6)),
    }));
  const amount = ({ flops, bytes }: { flops: number; bytes: number }): number => flops || bytes;
  const kindOf = (row: NodeRow, flops: number): string => `${row.op} ${flops > 0}`;
  const best = new Map<string, number>();
  for (const { row, work } of works) {
    const kind = kindOf(row, work.flops);
    best.set(kind, Math.max(best.get(kind) ?? 0, amount(work) / row.time.medianMs));
  }
  return works.map(({ row, work }) => ({
    row,
    leastMs: amount(work) / (best.get(kindOf(row, work.flops)) as number),
  }));
}
