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
  /** The joint step of some of the models. */
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
 * others are, so that their numbers do not change.
 */
export class JointTraining {
  private readonly own: ReadonlyMap<string, BuiltTrial>;
  /** Names of the models that are trained on. */
  private readonly alive: Set<string>;
  private readonly waiting = new Map<string, Waiting>();
  /** Values that are to be written before the next step or reading, by model and own name. */
  private readonly pending = new Map<string, Map<string, Uint8Array>>();
  /** Runs that each model has behind it. */
  private readonly runs: Map<string, number>;
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
    this.graph = this.build();
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

  /** The joint step of those that are left, planned as that of all was. */
  private build(): Graph {
    const left = this.parts.trials.filter(({ spec }) => this.alive.has(spec.name));
    const graph = this.parts.arrange(left);
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
    if (!this.pending.size) return;
    const values = new Map<string, Uint8Array>();
    const writers = new Map<string, string>();
    for (const [name, own] of this.pending) {
      for (const [tensor, data] of own) {
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
    }
    this.pending.clear();
    for (const [tensor, bytes] of values) this.loaded.write(tensor, bytes);
  }

  private read(name: string, tensor: string): Uint8Array {
    this.flush();
    return readTrial(this.piecesOf(name, tensor), (joint) => this.loaded.read(joint));
  }

  private run(name: string): Promise<StepResult> {
    return new Promise((done, failed) => {
      this.waiting.set(name, { done, failed });
      this.runIfAll();
    });
  }

  /** Runs the joint step once every model that is left waits for it. */
  private runIfAll(): void {
    if (!this.alive.size || [...this.alive].some((name) => !this.waiting.has(name))) return;
    const waiting = [...this.waiting.values()];
    this.waiting.clear();
    this.runAll().then(
      (result) => {
        for (const { done } of waiting) done(result);
      },
      (error) => {
        for (const { failed } of waiting) failed(error);
      },
    );
  }

  private async runAll(): Promise<StepResult> {
    const [first = "", ...others] = this.alive;
    const runs = this.runs.get(first) as number;
    const ahead = others.find((name) => this.runs.get(name) !== runs);
    if (ahead !== undefined)
      throw new Error(
        `models of one step are at different steps: ${first} at ${runs}, ${ahead} at ${this.runs.get(ahead)}`,
      );
    if (this.members.size > this.alive.size) this.leaveOut();
    // values of what is no state may change with it: before this step's are written
    if (this.loadedRuns !== runs) this.loaded.skipTo?.(runs);
    this.flush();
    const result = await this.loaded.run();
    this.loadedRuns = runs + 1;
    for (const name of this.alive) this.runs.set(name, runs + 1);
    return result;
  }

  /** The joint step without the models that are no longer trained, from where the others are. */
  private leaveOut(): void {
    const { runtime, trials } = this.parts;
    const left = trials.filter(({ spec }) => this.alive.has(spec.name));
    // what is to be written is for the step to come
    const pending = [...this.pending].filter(([name]) => this.alive.has(name));
    this.pending.clear();
    const states = left.map(({ spec, baseline, values }) => {
      const names = [...values().keys()].filter((tensor) => tensorOf(baseline, tensor).category !== "input");
      return new Map(names.map((tensor) => [tensor, this.read(spec.name, tensor).slice()] as const));
    });
    this.loaded.close();
    this.graph = this.build();
    this.members = this.membersOf();
    const values = new Map<string, Uint8Array>();
    left.forEach(({ spec }, i) => {
      for (const [tensor, data] of states[i] ?? [])
        putTrial(values, this.graph, this.piecesOf(spec.name, tensor), data);
    });
    this.loaded = loadWithValues(this.graph, runtime, values).step;
    this.loadedRuns = 0;
    for (const [name, own] of pending) this.pending.set(name, own);
  }

  private drop(name: string): void {
    if (!this.alive.delete(name)) return;
    this.waiting.get(name)?.failed(new Error(`the trainer is closed: model ${name}`));
    this.waiting.delete(name);
    if (!this.alive.size) this.loaded.close();
    else this.runIfAll();
  }
}
