import { type Graph, type GraphTrial, tensorBytes, tensorOf } from "../graph/graph.js";
import { lossPlace, putTrial, readTrial, type TrialPiece, trialPieces } from "../graph/trials.js";
import { savedActivations } from "../memory/activations.js";
import { stateUses } from "../memory/state-uses.js";
import type { Decision, StatePlacement } from "../plan/plan.js";
import { rewrite } from "../plan/rewrite.js";
import { type BuiltTrial, jointValues } from "../run/build-trials.js";
import { loadWithValues } from "../runtime/load.js";
import type { LoadedStep, Runtime, StepResult } from "../runtime/runtime.js";

/** What a joint training is made of. */
export interface JointParts {
  readonly runtime: Runtime;
  readonly trials: readonly BuiltTrial[];
  /** The joint step of some of the models; it may hold others beside them. */
  readonly arrange: (trials: readonly BuiltTrial[]) => Graph;
  /** What is planned of the joint step of all of them. */
  readonly decisions: readonly Decision[];
  readonly states: readonly StatePlacement[];
}

/** A model that waits for the others before the next step. */
interface Waiting {
  readonly done: (result: StepResult) => void;
  readonly failed: (error: unknown) => void;
}

/**
 * Several models that are trained by one step: to each it looks like a step of its own, whose runs wait for those of all
 * others. One that is closed drops out: before the next step the joint one is built anew without it, and goes on from where the
 * others are, so that their numbers do not change. Those that are behind, as what goes on from an older checkpoint, catch up
 * first.
 */
export class JointTraining {
  private readonly own: ReadonlyMap<string, BuiltTrial>;
  /** Names of the models that are trained on. */
  private readonly alive: Set<string>;
  private readonly waiting = new Map<string, Waiting>();
  /** Values that are to be written before the next step or reading, by model and own name. */
  private readonly pending = new Map<string, Map<string, Uint8Array>>();
  /** What models have that are not in the loaded step, by model and own name. */
  private readonly held = new Map<string, ReadonlyMap<string, Uint8Array>>();
  /** Runs that each model has behind it. */
  private readonly runs: Map<string, number>;
  /** Names of the models that the loaded step is of. */
  private group: ReadonlySet<string>;
  private graph: Graph;
  private loaded: LoadedStep;
  /** Runs that the loaded step has behind it. */
  private loadedRuns = 0;
  private members: ReadonlyMap<string, GraphTrial>;

  constructor(private readonly parts: JointParts) {
    const { trials } = parts;
    this.own = new Map(trials.map((trial) => [trial.spec.name, trial]));
    this.alive = new Set(this.own.keys());
    this.runs = new Map(trials.map(({ spec }) => [spec.name, 0]));
    this.group = new Set(this.alive);
    this.graph = this.build(this.group);
    this.members = this.membersOf();
    this.loaded = loadWithValues(this.graph, parts.runtime, jointValues(parts.runtime, this.graph, trials)).step;
  }

  /** A model's step as a loaded one of its own. */
  stepOf(name: string): LoadedStep {
    const joint = this;
    return {
      get allocatedBytes() {
        return joint.loaded.allocatedBytes;
      },
      write: (tensor, data) => this.write(name, tensor, data),
      read: (tensor) => this.read(name, tensor),
      run: () => this.run(name),
      skipTo: (runs) => void this.runs.set(name, runs),
      measure: () => Promise.reject(new Error(`a step of several models is not measured for one of them: ${name}`)),
      close: () => this.drop(name),
    };
  }

  private membersOf(): ReadonlyMap<string, GraphTrial> {
    return new Map((this.graph.trials ?? []).map((trial) => [trial.name, trial]));
  }

  private trialsOf(names: ReadonlySet<string>): BuiltTrial[] {
    return this.parts.trials.filter(({ spec }) => names.has(spec.name));
  }

  /** The joint step of some, planned as that of all was. */
  private build(names: ReadonlySet<string>): Graph {
    const graph = this.parts.arrange(this.trialsOf(names));
    const saved = savedActivations(graph);
    const nodes = new Set(graph.nodes.map(({ name }) => name));
    const decisions = this.parts.decisions.filter(
      ({ activation, swap }) =>
        saved.has(activation) && (!swap || (nodes.has(swap.outDone) && nodes.has(swap.prefetch))),
    );
    const uses = stateUses(graph);
    const isLeft = (node: string | null | undefined): boolean => !node || nodes.has(node);
    const states = this.parts.states
      .filter(({ state }) => uses.has(state))
      .map(({ state, prefetch, outDone }) =>
        isLeft(prefetch) && isLeft(outDone) ? { state, prefetch, outDone } : { state },
      );
    return rewrite(graph, decisions, states);
  }

  private piecesOf(name: string, tensor: string): TrialPiece[] {
    const { baseline } = this.own.get(name) as BuiltTrial;
    const member = this.members.get(name) as GraphTrial;
    if (tensor === baseline.loss) return [{ ownOffset: 0, ...lossPlace(this.graph, member) }];
    return trialPieces(this.graph, member, baseline, tensor);
  }

  private write(name: string, tensor: string, data: Uint8Array): void {
    const { baseline } = this.own.get(name) as BuiltTrial;
    const bytes = tensorBytes(tensorOf(baseline, tensor));
    if (bytes !== data.length) throw new Error(`size mismatch: ${tensor} has ${bytes} bytes, not ${data.length}`);
    const values = this.pending.get(name) ?? new Map<string, Uint8Array>();
    this.pending.set(name, values.set(tensor, data));
  }

  /** Writes what is to be written; of a tensor that several models share the others' parts stay. */
  private flush(): void {
    const values = new Map<string, Uint8Array>();
    const writers = new Map<string, string>();
    for (const name of this.group) {
      for (const [tensor, data] of this.pending.get(name) ?? []) {
        const pieces = this.piecesOf(name, tensor);
        for (const { tensor: joint, bytes } of pieces) {
          const isShared = bytes < tensorBytes(tensorOf(this.graph, joint));
          if (isShared && !values.has(joint)) values.set(joint, this.loaded.read(joint).slice());
          const before = values.get(joint);
          if (!isShared && before && Buffer.compare(before, data) !== 0)
            throw new Error(
              `models ${writers.get(joint)} and ${name} are fused and have one ${tensor}: it cannot be two values (arrange: "side-by-side")`,
            );
          writers.set(joint, name);
        }
        putTrial(values, this.graph, pieces, data);
      }
      this.pending.delete(name);
    }
    for (const [tensor, bytes] of values) this.loaded.write(tensor, bytes);
  }

  /** What is to be written counts as written. */
  private read(name: string, tensor: string): Uint8Array {
    const known = this.pending.get(name)?.get(tensor) ?? this.held.get(name)?.get(tensor);
    return known ?? readTrial(this.piecesOf(name, tensor), (joint) => this.loaded.read(joint));
  }

  private run(name: string): Promise<StepResult> {
    return new Promise((done, failed) => {
      this.waiting.set(name, { done, failed });
      this.runIfAll();
    });
  }

  /** Runs the joint step of those that are least far, once every model that is left waits for it. */
  private runIfAll(): void {
    if (!this.alive.size || [...this.alive].some((name) => !this.waiting.has(name))) return;
    const runs = Math.min(...[...this.alive].map((name) => this.runs.get(name) as number));
    const group = new Set([...this.alive].filter((name) => this.runs.get(name) === runs));
    const waiting = [...group].map((name) => this.waiting.get(name) as Waiting);
    for (const name of group) this.waiting.delete(name);
    this.runGroup(group, runs).then(
      (result) => {
        for (const { done } of waiting) done(result);
      },
      (error) => {
        for (const { failed } of waiting) failed(error);
      },
    );
  }

  private async runGroup(group: ReadonlySet<string>, runs: number): Promise<StepResult> {
    if (this.group.size !== group.size || [...group].some((name) => !this.group.has(name))) this.regroup(group);
    // values of what is no state may change with it: before this step's are written
    if (this.loadedRuns !== runs) this.loaded.skipTo?.(runs);
    this.flush();
    const result = await this.loaded.run();
    this.loadedRuns = runs + 1;
    for (const name of group) this.runs.set(name, runs + 1);
    return result;
  }

  /** The joint step of other models than before, each from where it is. */
  private regroup(group: ReadonlySet<string>): void {
    const { runtime } = this.parts;
    for (const { spec, baseline, values } of this.trialsOf(this.alive)) {
      const names = [...values().keys()].filter((tensor) => tensorOf(baseline, tensor).category !== "input");
      this.held.set(spec.name, new Map(names.map((tensor) => [tensor, this.read(spec.name, tensor).slice()] as const)));
    }
    this.loaded.close();
    this.group = group;
    this.graph = this.build(group);
    this.members = this.membersOf();
    const values = jointValues(runtime, this.graph, this.trialsOf(group));
    for (const name of group) {
      for (const [tensor, data] of this.held.get(name) ?? [])
        putTrial(values, this.graph, this.piecesOf(name, tensor), data);
      this.held.delete(name);
    }
    this.loaded = loadWithValues(this.graph, runtime, values).step;
    this.loadedRuns = 0;
  }

  private drop(name: string): void {
    if (!this.alive.delete(name)) return;
    this.pending.delete(name);
    this.held.delete(name);
    this.waiting.get(name)?.failed(new Error(`the trainer is closed: model ${name}`));
    this.waiting.delete(name);
    if (!this.alive.size) this.loaded.close();
    else this.runIfAll();
  }
}
