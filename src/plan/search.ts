import { randomFrom } from "../graph/random.js";
import type { ActivationRow } from "../memory/activation-rows.js";
import { savedActivations } from "../memory/activations.js";
import { type Option, optionsOf } from "./allowed.js";
import { Evaluator } from "./evaluator.js";
import { type Evaluation, Front, type Point } from "./front.js";
import { Pace } from "./pace.js";
import type { Effort, PlanProblem, Stretch } from "./plan.js";
import { alone, held, keep, swapped } from "./schedule.js";
import { trySegments } from "./segments.js";

/** Peaks that are aimed at: shares of the unplanned one, from above to below and back. */
const goalStep = 0.0125;
/** Plans that take longer than so many steps count as none on the way down. */
const dearest = 2;
/** How many times as many nodes as the step a plan may have: where each block begins at the start, their number is the square. */
const mostGrowth = 4;
/** Numbers of segments that are tried, about. */
const segmentTrials = 24;
/** Temperature at which annealing begins, in steps of time; it falls to a hundredth of that. */
const startHeat = 1e-3;
/** Shares of the moves after which the way down, the annealing for all goals, and that for the budget end. */
const [descentShare, annealShare, focusShare] = [0.2, 0.3, 0.97];
/** Annealing for the budget begins anew so many times, each time from the best that is known. */
const focusRounds = 3;
/** What it aims at, as a share of the budget: the arena is a little larger than the timeline's peak. */
const focusGoal = 0.998;
/** How much a byte over the goal weighs against time: the whole peak as much as so many steps. */
const excessWeight = 20;

/**
 * Searches plans for all budgets at once: simulated annealing over what is done with each activation, from the unplanned
 * peak down to the lowest that is reached and back up, each goal starting from the best that is known. Gives the front
 * of all that was tried. The same for the same seed, number of moves and budget; a budget gets a share of the moves for
 * itself, and the front serves all others too.
 */
export class Search {
  readonly front = new Front();
  readonly evaluator: Evaluator;
  private readonly options: readonly Option[];
  private readonly random: () => number;
  private readonly baseMs: number;
  private readonly basePeak: number;
  private readonly mostHostBytes: number;
  private readonly budgetBytes: number | null;
  private readonly pace: Pace;

  constructor(problem: PlanProblem, how: Effort) {
    const { graph, nodeMs, rows, constraints } = problem;
    const row = new Map(rows.map((one) => [one.name, one]));
    const rowOf = (name: string): ActivationRow => row.get(name) as ActivationRow;
    const saved = [...savedActivations(graph).values()];
    this.evaluator = new Evaluator(
      graph,
      nodeMs,
      saved.map(({ name }) => rowOf(name).swapMs),
      mostGrowth * graph.nodes.length,
      problem.steady,
    );
    this.budgetBytes = problem.budgetBytes;
    this.mostHostBytes = constraints?.hostBytes ?? Number.POSITIVE_INFINITY;
    this.options = optionsOf(problem);
    this.pace = new Pace(how);
    this.random = randomFrom(how.seed);
    const unplanned = new Uint8Array(saved.length);
    const base = this.evaluator.evaluate(unplanned);
    this.baseMs = base.totalMs;
    this.basePeak = base.peakBytes;
    this.front.add(unplanned, base);
  }

  /**
   * Runs the search to its end; returns the front. `starts` is asked for vectors to start from when the budget's turn
   * comes.
   */
  run(starts: () => readonly Uint8Array[] = () => []): Front {
    if (this.options.length === 0) return this.front;
    this.segments();
    const { actions: fastest } = this.front.within(this.basePeak);
    this.pace.limit(() => void this.evaluator.evaluate(fastest));
    const goals = this.descend();
    // the rest of the moves, a share for each goal, from below to above and back
    const rounds = [...goals].reverse().concat(goals);
    // low goals ask for more: what is evicted hangs together
    const weight = (goal: number): number => (1.1 - goal / this.basePeak) ** 2;
    let left = rounds.reduce((sum, goal) => sum + weight(goal), 0);
    for (const goal of rounds) {
      const share = Math.ceil(((annealShare * this.pace.moves - this.pace.tried) * weight(goal)) / left);
      left -= weight(goal);
      if (!this.pace.isOver()) this.anneal(goal, share, startHeat);
    }
    this.focus(starts());
    this.polish();
    return this.front;
  }

  /** The moves that are kept for the budget: from each of the starts, then from the best that is known. */
  private focus(starts: readonly Uint8Array[]): void {
    const { pace, budgetBytes } = this;
    pace.extend();
    if (budgetBytes === null || budgetBytes >= this.basePeak) return;
    const goal = focusGoal * budgetBytes;
    const share = Math.ceil((focusShare * pace.moves - pace.tried) / (focusRounds + starts.length));
    for (const start of starts) {
      const { rest, tried } = { rest: pace.rest, tried: pace.tried };
      this.improve(start, goal, { ...rest, moves: share });
      pace.begin({ ...rest, moves: rest.moves - (pace.tried - tried) });
    }
    for (let round = 0; round < focusRounds && !this.pace.isOver(); round++) this.anneal(goal, share, startHeat);
  }

  /** Goes on from a vector of actions towards a goal: what is better is taken move by move, then annealing. */
  improve(from: Uint8Array, goal: number, stretch: Stretch): void {
    if (this.options.length === 0) return;
    this.pace.begin(stretch);
    const actions = from.slice();
    let cost = this.cost(this.evaluate(actions), goal);
    for (let isBetter = true; isBetter && !this.pace.isOver(); ) {
      isBetter = false;
      for (const { index, actions: possible } of this.options)
        for (const action of possible) {
          const before = actions[index] as number;
          if (action === before || this.pace.isOver()) continue;
          actions[index] = action;
          const next = this.cost(this.evaluate(actions), goal);
          if (next < cost) [cost, isBetter] = [next, true];
          else actions[index] = before;
        }
    }
    this.anneal(goal, this.pace.rest.moves, startHeat);
  }

  /** Goes down goal by goal as far as goals are met; returns those that were tried. */
  private descend(): number[] {
    const goals: number[] = [];
    const most = Math.floor(descentShare * this.pace.moves * goalStep);
    let missed = 0;
    for (let share = 1 - goalStep; share > 0 && missed < 3 && !this.pace.isOver(); share -= goalStep) {
      const goal = Math.floor(share * this.basePeak);
      goals.push(goal);
      this.greedy(goal);
      this.anneal(goal, most, startHeat);
      // a plan that takes several times the step is no place to go on from: once more, with as many moves again
      if (!this.isMet(goal)) this.anneal(goal, 2 * most, startHeat);
      missed = this.isMet(goal) ? 0 : missed + 1;
    }
    return goals;
  }

  private isMet(goal: number): boolean {
    const { peakBytes, totalMs } = this.front.within(goal);
    return peakBytes <= goal && totalMs < dearest * this.baseMs;
  }

  private evaluate(actions: Uint8Array): Evaluation {
    this.pace.tried++;
    const evaluation = this.evaluator.evaluate(actions);
    if (evaluation.hostBytes <= this.mostHostBytes && evaluation.totalMs < Number.POSITIVE_INFINITY)
      this.front.add(actions, evaluation);
    return evaluation;
  }

  /** What a point is worth when that peak is wanted: less is better. */
  private cost({ peakBytes, totalMs, hostBytes }: Omit<Point, "actions">, goal: number): number {
    const excess = Math.max(0, peakBytes - goal) + Math.max(0, hostBytes - this.mostHostBytes);
    return totalMs / this.baseMs + (excessWeight * excess) / this.basePeak;
  }

  /** Chen's segments, with what is in each made again, held or alone, or swapped; then as many as just fit the budget. */
  private segments(): void {
    const bytes = this.options.map(({ accesses }) => accesses.bytes);
    const goal = focusGoal * (this.budgetBytes ?? 0);
    for (const action of [held, alone, swapped])
      trySegments(bytes, segmentTrials, goal, (bounds) => {
        const actions = new Uint8Array(this.evaluator.graph.activations.length);
        this.options.forEach(({ index, actions: possible }, place) => {
          if (!bounds.has(place) && possible.includes(action)) actions[index] = action;
        });
        // held segments are tried however slow the machine is: there is nothing to go on from without them
        const isOver = action !== held && this.pace.isOver();
        return isOver ? Number.POSITIVE_INFINITY : this.evaluate(actions).peakBytes;
      });
  }

  /** Evicts one activation after the other, the one that takes most of the excess at all nodes for its time first. */
  private greedy(goal: number): void {
    const actions = this.front.within(goal).actions.slice();
    let now = this.evaluate(actions);
    while (now.peakBytes > goal && !this.pace.isOver()) {
      let best: Option | undefined;
      let bestScore = 0;
      for (const option of this.options) {
        if (actions[option.index] !== keep) continue;
        const { bytes, lastForwardAccess, firstBackwardAccess } = option.accesses;
        let relieved = 0;
        for (let rank = lastForwardAccess + 1; rank < firstBackwardAccess; rank++) {
          const excess = (now.liveBytes[rank] as number) - goal;
          if (excess > 0) relieved += Math.min(excess, bytes);
        }
        const score = relieved / (option.recomputeMs + 1e-4 * this.baseMs);
        if (score > bestScore) [best, bestScore] = [option, score];
      }
      if (!best) return;
      let chosen: { action: number; evaluation: Evaluation } | undefined;
      for (const action of best.actions.slice(1)) {
        actions[best.index] = action;
        const evaluation = this.evaluate(actions);
        if (!chosen || this.cost(evaluation, goal) < this.cost(chosen.evaluation, goal))
          chosen = { action, evaluation };
      }
      if (!chosen) return;
      actions[best.index] = chosen.action;
      now = chosen.evaluation;
    }
  }

  /** Does less with single activations of random points of the front: finds what plans can do without. */
  private polish(): void {
    const { random, options, front } = this;
    while (!this.pace.isOver()) {
      const actions = (front.points[Math.floor(random() * front.points.length)] as Point).actions.slice();
      const evicted = options.filter(({ index }) => actions[index] !== keep);
      const option = evicted[Math.floor(random() * evicted.length)];
      if (option)
        actions[option.index] =
          random() < 0.7 ? keep : (option.actions[Math.floor(random() * option.actions.length)] as number);
      this.evaluate(actions);
    }
  }

  /** Simulated annealing towards one goal, from the best point that is known for it. */
  private anneal(goal: number, moves: number, heat: number): void {
    const { random, options } = this;
    const pick = (): Option => options[Math.floor(random() * options.length)] as Option;
    const other = (option: Option): number => option.actions[Math.floor(random() * option.actions.length)] as number;
    let best = this.front.points[0] as Point;
    for (const point of this.front.points) if (this.cost(point, goal) < this.cost(best, goal)) best = point;
    const actions = best.actions.slice();
    let cost = this.cost(best, goal);
    const undo: [index: number, action: number][] = [];
    const set = (option: Option, action: number): void => {
      undo.push([option.index, actions[option.index] as number]);
      actions[option.index] = option.actions.includes(action) ? action : (option.actions.at(-1) as number);
    };
    for (const from = this.pace.tried; this.pace.tried - from < moves && !this.pace.isOver(); ) {
      const temperature = heat * 0.01 ** ((this.pace.tried - from) / moves);
      undo.length = 0;
      let next: number | undefined;
      const kind = random();
      if (kind < 0.3) {
        const option = pick();
        set(option, other(option));
      } else if (kind < 0.5) {
        const [a, z] = [pick(), pick()];
        const [was, is] = [actions[a.index] as number, actions[z.index] as number];
        set(a, is);
        set(z, was);
      } else if (kind < 0.7) {
        const first = Math.floor(random() * options.length);
        const until = Math.min(options.length, first + 1 + Math.floor(random() * 8));
        const action = Math.floor(random() * 4);
        for (let at = first; at < until; at++) set(options[at] as Option, action);
      } else next = this.exchange(actions, goal, set);
      if (undo.every(([index, action]) => actions[index] === action)) continue;
      next ??= this.cost(this.evaluate(actions), goal);
      if (next <= cost || random() < Math.exp((cost - next) / temperature)) cost = next;
      else for (const [index, action] of undo.reverse()) actions[index] = action;
    }
  }

  /** Keeps something that is evicted, and evicts others until the goal is met again, three at most. */
  private exchange(actions: Uint8Array, goal: number, set: (option: Option, action: number) => void): number {
    const { random, options } = this;
    const evicted = options.filter(({ index }) => actions[index] !== keep);
    const relaxed = evicted[Math.floor(random() * evicted.length)];
    if (relaxed) set(relaxed, keep);
    let now = this.evaluate(actions);
    for (let tries = 0; tries < 3 && now.peakBytes > goal; tries++) {
      const over = new Int32Array(now.liveBytes.length + 1);
      for (let rank = 0; rank < now.liveBytes.length; rank++)
        over[rank + 1] = (over[rank] as number) + ((now.liveBytes[rank] as number) > goal ? 1 : 0);
      let best: Option | undefined;
      let bestScore = 0;
      for (const option of options) {
        if (actions[option.index] !== keep || option === relaxed) continue;
        const { bytes, lastForwardAccess, firstBackwardAccess } = option.accesses;
        const nodes =
          (over[firstBackwardAccess] as number) -
          (over[Math.min(lastForwardAccess + 1, firstBackwardAccess)] as number);
        const score = (nodes * bytes * (0.2 + random())) / (option.recomputeMs + 1e-3 * this.baseMs);
        if (score > bestScore) [best, bestScore] = [option, score];
      }
      if (!best) break;
      set(best, best.actions[1 + Math.floor(random() * (best.actions.length - 1))] as number);
      now = this.evaluate(actions);
    }
    return this.cost(now, goal);
  }
}
