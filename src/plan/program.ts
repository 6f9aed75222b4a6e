import { addTo } from "../graph/lists.js";
import type { ActivationRow } from "../memory/activation-rows.js";
import { type Allowed, allowedActions } from "./allowed.js";
import type { Compiled, CompiledNode } from "./compiled.js";
import { byteUnit, CopyRows } from "./copy-rows.js";
import type { Evaluator } from "./evaluator.js";
import { type ForwardValue, Lifetimes } from "./lifetimes.js";
import { hiddenSwapMs } from "./link.js";
import type { PlanProblem } from "./plan.js";
import { Rows, spread } from "./rows.js";
import { held, swapped } from "./schedule.js";

/** Costs are counted in thousandths of the unplanned step. */
const costUnits = 1000;
/** At so many nodes the copies that must be done are held against the time that there is for them. */
const copyNodes = 12;
/** Memory rows have so many terms together, and are so many at least. */
const [mostTerms, fewestRows] = [1e6, 50];

type Terms = Map<number, number>;

/** A row of a node's memory, before the copies that free some of it are looked at. */
interface MemoryRow {
  readonly rank: number;
  readonly terms: Terms;
  readonly least: number;
}

/**
 * A program whose least cost is a lower bound on the time that any plan of our four actions adds (keep, recompute,
 * recompute and hold, swap), if its peak by the timeline is within the budget.
 *
 * Columns: x for each activation that may be recomputed, s for each that may be swapped, x + s ≤ 1; z for each node that
 * runs again at least once, y for each that then does not run in its own place (`Lifetimes.dispensable`). Rows: what
 * makes an activation again runs again, back to where other activations are. At each node of the unplanned schedule
 * that is over the budget, the bytes of evicted activations that are idle there make up for the excess. What is left
 * out only makes plans dearer: bytes of blocks and of held copies, nodes that run again twice.
 *
 * Copies slow kernels down by a share of their time (link.ts), and those that must be complete before or after a node fit into the
 * time between their uses and it, with all that runs again, and waits, which are time that is added.
 */
export class PlanProgram extends Rows {
  private readonly graph: Compiled;
  private readonly lifetimes: Lifetimes;
  private readonly recompute: (number | undefined)[];
  private readonly swap: (number | undefined)[];
  /** By node: the columns that say that it runs again, and that it does so only. */
  private readonly again: (number | undefined)[] = [];
  private readonly only: (number | undefined)[] = [];
  private readonly baseMs: number;
  private readonly uses: readonly ActivationRow[];
  private readonly memory: MemoryRow[];

  /** `budgetAt` gives bytes for each node; by default the budget at all. */
  constructor(
    private readonly problem: PlanProblem,
    evaluator: Evaluator,
    budgetAt: (rank: number) => number = () => problem.budgetBytes ?? Number.POSITIVE_INFINITY,
  ) {
    super();
    const { graph } = evaluator;
    this.graph = graph;
    this.baseMs = problem.nodeMs.reduce((sum, ms) => sum + ms, 0) || 1;
    const allowed = allowedActions(problem);
    const row = new Map(problem.rows.map((one) => [one.name, one]));
    this.uses = graph.activations.map((name) => row.get(name) as ActivationRow);
    const can = graph.activations.map((name) => allowed.get(name) as Allowed);
    this.lifetimes = new Lifetimes(
      graph,
      problem.graph,
      can.map(({ recompute }) => recompute),
      can.map(({ swap }) => swap),
    );
    const stays = new Set(graph.outputs);
    const column = (is: boolean, cost: number): number | undefined =>
      is ? this.column({ cost: this.cost(cost), upper: 1, whole: true }) : undefined;
    this.recompute = can.map(({ recompute }) => column(recompute, 0));
    this.swap = can.map(({ swap }, i) => column(swap, hiddenSwapMs((this.uses[i] as ActivationRow).swapMs)));
    for (const [i, x] of this.recompute.entries()) {
      const s = this.swap[i];
      if (x !== undefined && s !== undefined)
        this.row(
          [
            [x, -1],
            [s, -1],
          ],
          -1,
        );
      if (x !== undefined) this.needAgain(x, i);
    }
    this.addOnlyAgain();
    const live = evaluator.evaluate(new Uint8Array(graph.activations.length)).liveBytes;
    this.memory = this.memoryRows(live, budgetAt, stays);
    this.addMemory();
  }

  /** Whether the unplanned step is within the budget: nothing is to be solved. */
  get isEmpty(): boolean {
    return this.memory.length === 0;
  }

  /** A cost of the program as time, ms. */
  toMs(cost: number): number {
    return (cost * this.baseMs) / costUnits;
  }

  /** The actions that a solution stands for: what is made again is held. */
  actionsOf(values: readonly number[]): Uint8Array {
    const isSet = (column: number | undefined): boolean => column !== undefined && (values[column] as number) > 0.5;
    return Uint8Array.from(this.graph.activations, (_, i) =>
      isSet(this.recompute[i]) ? held : isSet(this.swap[i]) ? swapped : 0,
    );
  }

  private cost(ms: number): number {
    return (ms * costUnits) / this.baseMs;
  }

  /** z of a node, made when it is first asked for, with what must run again before it. */
  private runsAgain(rank: number): number {
    const known = this.again[rank];
    if (known !== undefined) return known;
    const node = this.graph.nodes[rank] as CompiledNode;
    const z = this.column({ cost: this.cost(node.ms), upper: 1 });
    this.again[rank] = z;
    // an input that is an activation's is kept, or made again on its own account
    for (const name of node.copyInputs)
      if (name >= 0 && (this.graph.owner[name] as number) < 0 && (this.graph.made[name] as number) >= 0)
        this.implies(z, this.runsAgain(this.graph.made[name] as number));
    return z;
  }

  private needAgain(x: number, activation: number): void {
    const rank = this.graph.made[this.graph.activationTensors[activation] as number] as number;
    this.implies(x, this.runsAgain(rank));
  }

  /** Nodes that may run in blocks only, if all that reads their outputs reads copies: their own time is won back. */
  private addOnlyAgain(): void {
    const { nodes, owner } = this.graph;
    const readers = new Map<number, number[]>();
    nodes.forEach(({ inputs }, rank) => {
      for (const name of inputs) addTo(readers, name, rank);
    });
    for (let rank = nodes.length - 1; rank >= 0; rank--) {
      const z = this.again[rank];
      if (!this.lifetimes.dispensable[rank] || z === undefined) continue;
      const node = nodes[rank] as CompiledNode;
      const conditions = [...node.outputs].flatMap((name) =>
        (readers.get(name) ?? []).map((reader) =>
          nodes[reader]?.forward ? this.only[reader] : this.recompute[owner[name] as number],
        ),
      );
      if (conditions.includes(undefined)) continue;
      const y = this.column({ cost: -this.cost(node.ms), upper: 1 });
      this.only[rank] = y;
      for (const condition of new Set([z, ...conditions])) this.implies(y, condition as number);
    }
  }

  private memoryRows(live: Float64Array, budgetAt: (rank: number) => number, stays: ReadonlySet<number>): MemoryRow[] {
    const rows = new Map<string, MemoryRow>();
    const over = [...live.keys()].filter((rank) => (live[rank] as number) > budgetAt(rank));
    // fewer rows only lower the bound: a program that is as large as a long step squared is never solved
    const most = Math.max(fewestRows, Math.floor(mostTerms / Math.max(1, this.lifetimes.values.length)));
    for (const rank of spread(over, most)) {
      const excess = (live[rank] as number) - budgetAt(rank);
      const least = (excess - this.lifetimes.looseBytes(rank)) / byteUnit;
      if (least <= 0) continue;
      const terms: Terms = new Map();
      const add = (column: number | undefined, term: number): void => {
        if (column !== undefined) terms.set(column, (terms.get(column) ?? 0) + term / byteUnit);
      };
      for (const value of this.lifetimes.values)
        if (value.created <= rank && !stays.has(value.tensor)) this.freeAt(rank, value, add);
      if (this.lifetimes.dispensable[rank]) add(this.only[rank], excess);
      const key = [...terms].join(" ");
      if ((rows.get(key)?.least ?? 0) < least) rows.set(key, { rank, terms, least });
    }
    return [...rows.values()];
  }

  /** What frees a value at a node at which it is live in the unplanned step. */
  private freeAt(rank: number, value: ForwardValue, add: (column: number | undefined, bytes: number) => void): void {
    const { activation, bytes, sure, created } = value;
    const isFree = rank > sure || (rank === sure && this.lifetimes.mayOverwrite(rank, value));
    if (activation < 0) {
      const last = value.readers.at(-1);
      if (last !== undefined && rank <= last && isFree && rank < this.lifetimes.lastReadOf(value) + 1)
        add(this.only[last], bytes);
      return;
    }
    if (rank >= (this.uses[activation] as ActivationRow).firstBackwardAccess) return;
    if (isFree) add(this.recompute[activation], bytes);
    if (rank > Math.max(sure, created)) add(this.swap[activation], bytes);
  }

  private addMemory(): void {
    const chosen = new Set(spread(this.memory, copyNodes));
    const most = this.memory.reduce<MemoryRow | undefined>((a, z) => (a && a.least >= z.least ? a : z), undefined);
    if (most) chosen.add(most);
    const swapOf = new Map(this.swap.flatMap((column, i) => (column === undefined ? [] : [[column, i] as const])));
    const { problem, graph, lifetimes, uses, again } = this;
    const costOf = (ms: number): number => this.cost(ms);
    const copies = swapOf.size ? new CopyRows(this, { problem, graph, lifetimes, uses, again, costOf }) : undefined;
    for (const row of this.memory) {
      if (!copies || !chosen.has(row)) {
        this.row(row.terms, row.least);
        continue;
      }
      /** Away at this node: the copy is out, and not on its way back. */
      const away = new Map<number, number>();
      const terms = [...row.terms].map(([column, bytes]): [number, number] => {
        const i = swapOf.get(column);
        if (i === undefined) return [column, bytes];
        const one = this.column({ cost: 0, upper: 1 });
        this.implies(one, column);
        away.set(i, one);
        return [one, bytes];
      });
      this.row(terms, row.least);
      copies.add(row.rank, away);
    }
  }
}
