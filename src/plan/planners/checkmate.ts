import { greatest } from "../../graph/lists.js";
import type { Compiled } from "../compiled.js";
import type { Planner, PlanProblem } from "../plan.js";
import { alone, held } from "../schedule.js";
import { Search } from "../search.js";
import { type Column, type IntegerProgram, type Row, startSolve } from "../solver.js";
import { best, defaultEffort, planOfFront } from "./best.js";
import { memoryOf, readersOf, type Stage, stagesOf } from "./stages.js";

/** Larger steps take a general solver hours. */
const mostNodes = 40;
/** Up to so many recomputed activations each way of holding their copies is tried. */
const mostWays = 12;
const graceMs = 1000;

/**
 * Checkmate (Jain et al. 2020): which values are computed, R, and which are there, S, at each node of the backward
 * phase, with the memory of every moment, blocks included. What our blocks cannot do is forbidden: running forward
 * nodes again in the forward phase, keeping what is no saved activation, freeing an activation between two backward
 * uses. Values are written over nothing, as in the paper: a budget that needs that is out of its reach.
 */
class Checkmate implements IntegerProgram {
  readonly columns: Column[] = [];
  readonly rows: Row[] = [];
  readonly stages: readonly Stage[];
  private readonly evicted: (number | undefined)[];
  private readonly readsAt: readonly (readonly number[])[];

  constructor(
    private readonly problem: PlanProblem,
    private readonly graph: Compiled,
    live: Float64Array,
  ) {
    this.stages = stagesOf(problem, graph);
    this.evicted = this.stages.map(({ mayRecompute }) => (mayRecompute ? this.binary(0) : undefined));
    this.readsAt = readersOf(graph, this.stages);
    const backward = this.backwardRanks();
    const count = this.stages.length + backward.length;
    if (count > mostNodes)
      throw new Error(`graph too large for checkmate: ${count} nodes, at most ${mostNodes} (use --planner optimal)`);
    this.forwardRows(live);
    this.backwardRows(backward, live);
  }

  /** Activations that a solution makes again. */
  evictedBy(values: readonly number[]): number[] {
    return this.stages.flatMap(({ saved }, i) => {
      const x = this.evicted[i];
      return x !== undefined && (values[x] as number) > 0.5 ? saved : [];
    });
  }

  private binary(cost: number): number {
    return this.columns.push({ cost, upper: 1, whole: true }) - 1;
  }

  private row(terms: readonly (readonly [number, number])[], least: number): void {
    this.rows.push({ terms, least });
  }

  /** Backward nodes up to the last one that reads an activation: later ones see no difference. */
  private backwardRanks(): number[] {
    const { nodes } = this.graph;
    const last = greatest(this.readsAt.flat(), -1);
    return nodes.flatMap((node, rank) => (node.forward || node.view || rank > last ? [] : [rank]));
  }

  private forwardRows(live: Float64Array): void {
    const budget = this.problem.budgetBytes as number;
    const lastForward = this.stages.map(({ saved }) => Math.max(...saved.map((i) => this.uses(i).lastForwardAccess)));
    this.graph.nodes.forEach((node, rank) => {
      const excess = (live[rank] as number) - budget;
      if (!node.forward || excess <= 0) return;
      const terms = this.stages.flatMap(({ savedBytes }, i): [number, number][] => {
        const x = this.evicted[i];
        return x !== undefined && (lastForward[i] as number) < rank ? [[x, savedBytes / excess]] : [];
      });
      this.row(terms, 1);
    });
  }

  private uses(activation: number): PlanProblem["rows"][number] {
    const name = this.graph.activations[activation];
    return this.problem.rows.find((row) => row.name === name) as PlanProblem["rows"][number];
  }

  private backwardRows(backward: readonly number[], live: Float64Array): void {
    const { stages } = this;
    const ms = (i: number): number => this.problem.nodeMs[(stages[i] as Stage).rank] as number;
    const again = backward.map(() => stages.map((stage, i) => (stage.bytes >= 0 ? this.binary(ms(i)) : -1)));
    // what is there when a backward node's blocks begin; after the last one too
    const there = [...backward, -1].map(() => stages.map(({ saved }) => (saved.length ? this.binary(0) : undefined)));
    for (const [i, stage] of stages.entries()) this.lifeOf(stage, i, backward, again, there);
    const memory = memoryOf(this.problem, this.graph, backward, live);
    backward.forEach((rank, t) => {
      const r = again[t] as number[];
      const [s, next] = [there[t], there[t + 1]] as [(number | undefined)[], (number | undefined)[]];
      stages.forEach(({ sources }, k) => {
        for (const i of sources) this.row([[r[i] as number, 1], [r[k] as number, -1], ...one(s[i])], 0);
        this.moment(memory.before[t] as number, k, r, s, next, rank);
      });
      this.atNode(memory.at[t] as number, next, rank);
    });
  }

  /** An activation is kept, or goes after its forward use; from its first to its last backward use it is there. */
  private lifeOf(
    stage: Stage,
    i: number,
    backward: readonly number[],
    again: readonly (readonly number[])[],
    there: readonly (readonly (number | undefined)[])[],
  ): void {
    const x = this.evicted[i];
    const reads = this.readsAt[i] as readonly number[];
    const [first, last] = [Math.min(...reads), Math.max(...reads)];
    backward.forEach((rank, t) => {
      const [r, s, next] = [again[t]?.[i] as number, there[t]?.[i], there[t + 1]?.[i]];
      if (x !== undefined)
        this.row(
          [
            [x, 1],
            [r, -1],
          ],
          0,
        );
      else if (stage.saved.length) this.row([[r, -1]], 0);
      if (s === undefined || next === undefined) return;
      this.row(
        [
          [s, 1],
          [r, 1],
          [next, -1],
        ],
        0,
      );
      if (reads.includes(rank))
        this.row(
          [
            [s, 1],
            [r, 1],
          ],
          1,
        );
      if (first <= rank && rank < last) this.row([[next, 1]], 1);
      // kept until it is read first
      if (rank <= first) this.row([[s, 1], ...one(x)], 1);
      if (t === 0 && x !== undefined)
        this.row(
          [
            [s, -1],
            [x, -1],
          ],
          -1,
        );
    });
  }

  /** Memory while a block before a backward node runs its copy of the node in place k. */
  private moment(
    bytes: number,
    k: number,
    r: readonly number[],
    s: readonly (number | undefined)[],
    next: readonly (number | undefined)[],
    rank: number,
  ): void {
    const budget = this.problem.budgetBytes as number;
    const terms: [number, number][] = [[r[k] as number, -(this.stages[k] as Stage).bytes / budget]];
    let least = bytes / budget - 1;
    this.stages.forEach((stage, i) => {
      if (i === k) return;
      const share = (stage.saved.length ? stage.savedBytes : stage.bytes) / budget;
      const isRead = this.readsAt[i]?.includes(rank);
      if (i < k && isRead) {
        least += share;
        return;
      }
      const users = this.stages.flatMap(({ sources }, j) => (j >= k && sources.includes(i) ? [r[j] as number] : []));
      const reasons =
        i < k ? [...users, ...(next[i] === undefined ? [] : [next[i]])] : s[i] === undefined ? [] : [s[i]];
      if (reasons.length) terms.push([this.atLeast(reasons as number[]), -share]);
    });
    this.row(terms, least);
  }

  /** Memory while a backward node runs. */
  private atNode(bytes: number, next: readonly (number | undefined)[], rank: number): void {
    const budget = this.problem.budgetBytes as number;
    let least = bytes / budget - 1;
    const terms = this.stages.flatMap(({ savedBytes }, i): [number, number][] => {
      if (this.readsAt[i]?.includes(rank)) least += savedBytes / budget;
      else if (next[i] !== undefined) return [[next[i], -savedBytes / budget]];
      return [];
    });
    this.row(terms, least);
  }

  /** A column that is at least each of some. */
  private atLeast(columns: readonly number[]): number {
    if (columns.length === 1) return columns[0] as number;
    const most = this.columns.push({ cost: 0, upper: 1 }) - 1;
    for (const column of columns)
      this.row(
        [
          [most, 1],
          [column, -1],
        ],
        0,
      );
    return most;
  }
}

const one = (column: number | undefined): [number, number][] => (column === undefined ? [] : [[column, 1]]);

/**
 * Checkmate's optimum for a small step, within what our blocks can do: which activations are made again. Whether their
 * copies are held is what costs least by the exact timeline of those that fit. Throws `graph too large for checkmate: …`.
 */
export const checkmate: Planner = (problem) => {
  const { budgetBytes } = problem;
  if (budgetBytes === null) return best(problem);
  const effort = { ...defaultEffort, ...problem.effort };
  const search = new Search(problem, effort);
  const { evaluator, front } = search;
  const unplanned = new Uint8Array(evaluator.graph.activations.length);
  const program = new Checkmate(problem, evaluator.graph, evaluator.evaluate(unplanned).liveBytes);
  const { values } = startSolve(program, effort.timeLimitMs).collect(effort.timeLimitMs + graceMs) ?? {};
  if (values) {
    const evicted = program.evictedBy(values);
    const ways = evicted.length <= mostWays ? 2 ** evicted.length : 1;
    for (let way = 0; way < ways; way++) {
      const actions = unplanned.slice();
      evicted.forEach((index, bit) => {
        actions[index] = (way >> bit) & 1 ? alone : held;
      });
      front.add(actions, evaluator.evaluate(actions));
    }
  }
  return planOfFront(problem, { search, front });
};
